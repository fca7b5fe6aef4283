// What a broker, a network, a disk and a clock may do.
#include "shared/crypto/base64url.hpp"
#include "tests/sim/world.hpp"

namespace pulsemeter::sim {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

namespace {

milliseconds up_to(Dice& dice, milliseconds most)
{
    return milliseconds(dice.between(0, static_cast<std::uint64_t>(most.count())));
}

} // namespace

void World::drop() // after a PUBACK, as far as the programs know
{
    if (!broker_.on_the_way.empty())
        broker_.on_the_way.erase(broker_.on_the_way.begin() +
                                 static_cast<std::ptrdiff_t>(dice_.index(broker_.on_the_way.size())));
}

void World::duplicate()
{
    if (!broker_.on_the_way.empty())
        broker_.deliver(broker_.on_the_way[dice_.index(broker_.on_the_way.size())]);
}

void World::reorder()
{
    if (!broker_.on_the_way.empty())
        deliver_parcel(dice_.index(broker_.on_the_way.size()));
}

void World::replay()
{
    for (std::uint64_t times = dice_.one_in(10) ? dice_.between(1, 200) : 1; times > 0; --times)
        if (!broker_.seen.empty())
            broker_.deliver(broker_.seen[dice_.index(broker_.seen.size())]);
}

std::string World::any_topic()
{
    const crypto::MeterKeys& keys = any_meter().keys();
    return dice_.one_in(2) ? keys.up_topic : keys.down_topic;
}

void World::swap() // between meters, and between the directions
{
    if (!broker_.seen.empty())
        broker_.deliver({any_topic(), broker_.seen[dice_.index(broker_.seen.size())].payload});
}

// One bit of what is on its way, or was, is another one: what a receiver takes must be what a sender made.
void World::corrupt()
{
    const bool held_back = dice_.one_in(2) && !broker_.on_the_way.empty();
    if (!held_back && broker_.seen.empty())
        return;
    Parcel& original = held_back ? broker_.on_the_way[dice_.index(broker_.on_the_way.size())]
                                 : broker_.seen[dice_.index(broker_.seen.size())];
    std::vector<std::uint8_t> bytes(crypto::base64url_room(original.payload.size()));
    const auto size = crypto::decode_base64url(original.payload, bytes);
    if (!size)
        return;
    bytes.resize(*size);
    bytes[dice_.index(bytes.size())] ^= static_cast<std::uint8_t>(1U << dice_.index(8));
    const Parcel corrupted{original.topic, crypto::encode_base64url(bytes)};
    if (held_back)
        original.payload = corrupted.payload;
    else
        broker_.deliver(corrupted);
}

void World::junk()
{
    broker_.deliver({any_topic(), std::string(dice_.between(0, 300), 'A')});
}

void World::clear_retained()
{
    const std::string topic = any_topic();
    broker_.retained.erase(topic);
    broker_.deliver({topic, ""});
}

void World::replace_retained()
{
    if (!broker_.seen.empty())
        broker_.retained[any_topic()] = broker_.seen[dice_.index(broker_.seen.size())].payload;
}

void World::amnesia()
{
    tell_("the broker forgets everything");
    broker_.forget();
}

void World::disconnect()
{
    MeterMachine& meter = any_meter();
    if (dice_.one_in(3) && server_->has_bus())
        broker_.disconnect(server_->bus());
    else if (meter.has_bus())
        broker_.disconnect(meter.bus());
}

void World::stop_broker()
{
    broker_.is_up = false;
    broker_.disconnect_all();
    if (dice_.one_in(2))
        broker_.on_the_way.clear();
}

void World::start_broker()
{
    broker_.is_up = true;
}

void World::cut()
{
    Machine& machine = any_machine();
    if (!machine.is_running())
        return;
    const PowerLoss loss = all_power_losses.at(dice_.index(all_power_losses.size()));
    switch (dice_.index(4)) {
    case 0:
        machine.cut_power(loss);
        break;
    case 1:
        machine.cut_power_at(dice_.between(1, 30), loss);
        break;
    case 2:
        machine.cut_power_around_commit(Cut::before_commit, loss);
        break;
    default:
        machine.cut_power_around_commit(Cut::after_commit, loss);
        break;
    }
    tell("loses its power now or soon", machine);
}

void World::kill()
{
    if (Machine& machine = any_machine(); machine.is_running()) {
        tell("is killed", machine);
        machine.kill();
    }
}

void World::fail_disk()
{
    Machine& machine = any_machine();
    tell("its disk fails", machine);
    machine.fail_disk(dice_.one_in(2) ? dice_.between(1, 10) : 1'000'000'000);
}

void World::heal_disk()
{
    any_machine().heal_disk();
}

void World::step_clock()
{
    constexpr milliseconds ten_years = std::chrono::hours(24 * 365 * 10);
    Machine& machine = any_machine();
    const milliseconds step{dice_.between(0, static_cast<std::uint64_t>(ten_years.count()))};
    machine.step_clock(dice_.one_in(2) ? step : -step);
    if (auto* meter = dynamic_cast<MeterMachine*>(&machine))
        meter->synchronise(dice_.one_in(2) ? Clock::synchronised : Clock::unsynchronised);
}

void World::take_image()
{
    Machine& machine = any_machine();
    if (machine.is_running())
        power_off(machine);
    const auto* meter = dynamic_cast<MeterMachine*>(&machine);
    if (meter == nullptr || witness_.is_greeted(meter->id()))
        images_[&machine] = machine.image();
}

void World::put_image_back()
{
    MeterMachine& meter = any_meter();
    if (!images_.contains(&meter))
        return;
    if (meter.is_running())
        power_off(meter);
    tell("gets an old disk image back", meter);
    meter.put_back(images_.at(&meter));
    witness_.image_put_back(meter.id());
}

// An old image of a disk whose last readings the server has not heard of yet: it cannot know, so numbers are given out
// twice. What was said before comes later, by replay().
void World::rewind()
{
    MeterMachine& meter = any_meter();
    if (!meter.is_running() || !server_->is_running() || !witness_.is_greeted(meter.id()))
        return;
    power_off(meter);
    const Image image = meter.image();
    meter.start();
    const std::uint64_t made = witness_.readings_made();
    std::uint64_t unheard = 0; // turns, after the greeting and the first reading that follows it
    for (std::uint64_t turns = 80; turns > 0 && unheard < 8; --turns) {
        if (!meter.is_running())
            return;
        pass_time(up_to(dice_, 4s));
        meter.turn();
        settle();
        if (witness_.readings_made() > made) {
            ++unheard;
            continue;
        }
        broker_.deliver_all();
        if (server_->is_running())
            server_->turn();
        broker_.deliver_all();
        settle();
    }
    for (const Parcel& parcel : broker_.on_the_way)
        broker_.seen[dice_.index(broker_.seen.size())] = parcel;
    broker_.on_the_way.clear();
    if (meter.is_running())
        power_off(meter);
    tell("gets back an image of a minute ago", meter);
    meter.put_back(image);
    witness_.image_put_back(meter.id());
}

// A meter program out of order: a total that fell, sealed as it should be. The operator has to see to it.
void World::say_falling_total()
{
    MeterMachine& meter = any_meter();
    if (!meter.is_running())
        return;
    if (const auto reading = meter.say_falling_total()) {
        tell("seals a total that fell", meter);
        witness_.said_out_of_order(meter.id(), *reading);
    }
}

void World::lose_store()
{
    MeterMachine& meter = any_meter();
    if (meter.is_running())
        power_off(meter);
    tell("loses its store", meter);
    meter.lose_store();
}

void World::restore_server()
{
    if (!images_.contains(server_.get()))
        return;
    if (server_->is_running())
        power_off(*server_);
    tell("is restored from a backup", *server_);
    server_->put_back(images_.at(server_.get()));
    witness_.ledger_put_back();
}

void World::fit_sensor() // which is noticed at the next start
{
    MeterMachine& meter = any_meter();
    if (meter.is_running())
        power_off(meter);
    tell("gets a sensor", meter);
    meter.fit_sensor();
}

void World::operate()
{
    if (!server_->is_running())
        return;
    std::vector<HeldReading> held;
    try {
        held = server_->ledger().held();
    } catch (const std::exception&) {
        return; // its disk fails
    }
    if (held.empty())
        return;
    const HeldReading& one = held[dice_.index(held.size())];
    server_->resolve(one, ServerMachine::Verdict::either);
}

// More pulses than --max-kw allows, but real ones: the server refuses, the operator decides.
void World::burst()
{
    any_meter().flash(dice_.between(200, 5'000));
}

} // namespace pulsemeter::sim
