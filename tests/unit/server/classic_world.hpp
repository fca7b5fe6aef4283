// The server's side of the classic wire with one meter, a ledger in memory and a clock of the test's.
#pragma once

#include "server/classic_head_end.hpp"
#include "tests/unit/server/filling_ledger.hpp"
#include "tests/unit/server/ledger_helpers.hpp"

#include <boost/test/unit_test.hpp>

namespace pulsemeter {

using namespace std::chrono_literals;

using SteadyTime = ClassicHeadEnd::SteadyTime;

inline crypto::FernetKey key_of(std::uint8_t number)
{
    std::array<std::uint8_t, 32> bytes{};
    bytes.fill(number);
    return crypto::FernetKey(bytes);
}

inline std::string sealed(std::string_view plaintext, std::uint8_t key = 1)
{
    const std::vector<std::uint8_t> bytes(plaintext.begin(), plaintext.end());
    return crypto::Fernet(key_of(key)).seal(bytes, 1'700'000'000, crypto::random_iv());
}

struct World {
    FillingLedger ledger;
    ClassicHeadEnd head_end{ledger};
    SteadyTime now{1h};
    std::vector<Alarm> alarms{};
    std::size_t admitted = 0;

    World()
    {
        add();
        head_end.connected(now);
    }
    void add() { head_end.add_meter(kitchen, {key_of(1), {}}, now); }

    // What was said downward, in order.
    std::vector<std::string> arrive(const std::string& token, bool retained = false)
    {
        const Arrival arrival{"UNITS1221", token, 1, retained};
        return take(head_end.handle(std::span(&arrival, 1), now, wall()));
    }
    std::vector<std::string> total(std::uint64_t number, bool retained = false)
    {
        return arrive(sealed(std::to_string(number)), retained);
    }
    std::vector<std::string> after(std::chrono::milliseconds time)
    {
        now += time;
        return take(head_end.handle({}, now, wall()));
    }
    [[nodiscard]] WallTime wall() const
    {
        return noon + std::chrono::floor<std::chrono::milliseconds>(now - SteadyTime{1h});
    }

private:
    std::vector<std::string> take(const HeadEndResult& result)
    {
        alarms.insert(alarms.end(), result.alarms.begin(), result.alarms.end());
        admitted += result.admitted.size();
        std::vector<std::string> said;
        for (const Outgoing& outgoing : result.outgoing) {
            BOOST_TEST(outgoing.topic == "UNITS1222");
            const auto opened = crypto::Fernet(key_of(1)).open(outgoing.payload).value();
            said.emplace_back(opened.plaintext.begin(), opened.plaintext.end());
        }
        return said;
    }
};

using Said = std::vector<std::string>;

} // namespace pulsemeter

#define SAYS(what, ...) BOOST_TEST((what) == (Said{__VA_ARGS__}), boost::test_tools::per_element())
