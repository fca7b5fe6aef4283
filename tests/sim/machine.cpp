#include "tests/sim/machines.hpp"

#include <algorithm>
#include <fstream>
#include <utility>

namespace pulsemeter::sim {

Machine::Machine(const std::filesystem::path& folder, Clocks& clocks, std::uint64_t seed)
    : folder_(folder),
      clocks_(clocks),
      dice_(seed),
      disk_((std::filesystem::create_directories(folder), folder.string()))
{
    disk_.restart(seed);
}

Machine::~Machine() = default;

void Machine::cut_power(PowerLoss loss)
{
    if (!disk_.is_cut())
        disk_.cut_now(loss);
}

void Machine::cut_power_at(std::uint64_t step, PowerLoss loss)
{
    disk_.cut_at(step, loss);
}

void Machine::cut_power_around_commit(Cut when, PowerLoss loss)
{
    cut_ = when;
    cut_loss_ = loss;
}

void Machine::fail_disk(std::uint64_t steps)
{
    disk_.fail_at(1, steps);
}

void Machine::heal_disk()
{
    disk_.fail_at(1, 0);
}

void Machine::clean_up_after_cut()
{
    stop_program();
    disk_.restart(dice_.next());
    cut_ = Cut::none;
    due = SteadyTime::min();
}

Image Machine::image() const
{
    Image image;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
        std::ifstream file(entry.path(), std::ios::binary);
        image.emplace(entry.path().filename().string(),
                      std::string(std::istreambuf_iterator<char>(file), {}));
    }
    return image;
}

void Machine::put_back(const Image& image)
{
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    for (const auto& [name, bytes] : image)
        std::ofstream(folder_ / name, std::ios::binary) << bytes;
}

void Machine::step_clock(std::chrono::milliseconds offset)
{
    offset_ += offset;
}

WallTime Machine::wall() const
{
    using namespace std::chrono;
    constexpr WallTime last = sys_days{year{9999} / December / 31};
    return std::clamp(clocks_.wall + offset_, WallTime{}, last);
}

void Machine::before_commit()
{
    if (cut_ == Cut::before_commit)
        cut_power(cut_loss_);
}

void Machine::after_commit()
{
    if (cut_ == Cut::after_commit)
        cut_power(cut_loss_);
}

} // namespace pulsemeter::sim
