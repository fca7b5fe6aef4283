#include "tests/unit/server/samples.hpp"

#include <boost/test/unit_test.hpp>
#include <rapidcheck.h>

#include <algorithm>
#include <map>
#include <random>
#include <vector>

namespace pulsemeter {
namespace {

Neighbour neighbour(const Reading& reading)
{
    return {reading.sequence, reading.total, reading.boot, reading.uptime};
}

AdmissionContext between(const std::optional<Reading>& previous, const std::optional<Reading>& next)
{
    AdmissionContext context;
    if (previous) {
        context.epoch = epoch_facts(*previous);
        context.previous = neighbour(*previous);
    }
    if (next) {
        context.epoch = epoch_facts(*next);
        context.next = neighbour(*next);
    }
    return context;
}

// The least that a ledger is: the readings of one epoch by sequence.
class Model {
public:
    Outcome offer(const Reading& reading)
    {
        const auto at = rows_.lower_bound(reading.sequence);
        AdmissionContext context;
        if (!rows_.empty())
            context.epoch = epoch_facts(rows_.begin()->second);
        if (at != rows_.end() && at->first == reading.sequence) {
            context.same = SameKey{at->second.total, at->second.measured_at, at->second.source};
        } else {
            if (at != rows_.begin())
                context.previous = neighbour(std::prev(at)->second);
            if (at != rows_.end())
                context.next = neighbour(at->second);
        }
        const Outcome outcome = admit(reading, context);
        if (is_accepted(outcome))
            rows_.emplace(reading.sequence, reading);
        return outcome;
    }
    [[nodiscard]] const std::map<Sequence, Reading>& rows() const { return rows_; }

private:
    std::map<Sequence, Reading> rows_;
};

BOOST_AUTO_TEST_SUITE(admission)

BOOST_AUTO_TEST_CASE(the_first_reading_of_an_epoch_is_accepted_whatever_its_number)
{
    BOOST_TEST(is_accepted(admit(sample(1, 1, 0), {})));
    BOOST_TEST(is_accepted(admit(sample(UINT32_MAX, 900, largest_integer), {})));
}

BOOST_AUTO_TEST_CASE(D3_the_same_reading_again_is_a_duplicate_whatever_else_changed)
{
    const Reading known = sample(1, 5, 100);
    AdmissionContext context = between(known, std::nullopt);
    context.same = SameKey{known.total, known.measured_at, known.source};

    BOOST_TEST(is_duplicate(admit(known, context)));
    Reading resent = known;
    resent.events = 1;
    resent.constant.imp_per_kwh = 500;
    BOOST_TEST(is_duplicate(admit(resent, context)));
}

BOOST_AUTO_TEST_CASE(P6_other_content_under_a_taken_number_is_a_conflict)
{
    const Reading known = sample(1, 5, 100);
    AdmissionContext context = between(known, std::nullopt);
    context.same = SameKey{known.total, known.measured_at, known.source};

    Reading other_total = known;
    ++other_total.total.value;
    Reading other_time = known;
    other_time.measured_at += std::chrono::milliseconds(1);
    for (const Reading& reading : {other_total, other_time, simulated(known)})
        BOOST_TEST(is_conflict(admit(reading, context)));
}

BOOST_AUTO_TEST_CASE(I3_a_total_outside_its_neighbours_is_refused)
{
    const auto context = between(sample(1, 4, 100), sample(1, 6, 110));
    BOOST_TEST(is_accepted(admit(sample(1, 5, 100), context)));
    BOOST_TEST(is_accepted(admit(sample(1, 5, 105), context)));
    BOOST_TEST(is_accepted(admit(sample(1, 5, 110), context)));
    BOOST_TEST(is_rejected(admit(sample(1, 5, 99), context), RefusalReason::total_fell));
    BOOST_TEST(is_rejected(admit(sample(1, 5, 111), context), RefusalReason::total_jumped));
}

BOOST_AUTO_TEST_CASE(C7_what_is_fixed_within_an_epoch_may_not_change)
{
    const auto context = between(sample(1, 4, 100), std::nullopt);
    Reading constant = sample(1, 5, 100);
    constant.constant.imp_per_kwh = 1001;
    Reading start = sample(1, 5, 100);
    start.start.value = 1;
    for (const Reading& reading : {constant, start, simulated(sample(1, 5, 100))})
        BOOST_TEST(is_rejected(admit(reading, context), RefusalReason::constant_changed));
}

BOOST_AUTO_TEST_CASE(I3_more_than_the_largest_load_gives_is_refused)
{
    // 43 kW at 1000 imp/kWh for 10 s are 119.4 pulses; one more is free.
    const auto after = between(sample(1, 4, 1000), std::nullopt);
    BOOST_TEST(is_accepted(admit(sample(1, 5, 1120), after)));
    BOOST_TEST(is_rejected(admit(sample(1, 5, 1121), after), RefusalReason::implausible_rate));

    const auto before = between(std::nullopt, sample(1, 6, 1120));
    BOOST_TEST(is_accepted(admit(sample(1, 5, 1000), before)));
    BOOST_TEST(is_rejected(admit(sample(1, 5, 999), before), RefusalReason::implausible_rate));

    auto larger = after;
    larger.max_kw = 86; // 238.9
    BOOST_TEST(is_accepted(admit(sample(1, 5, 1239), larger)));
    BOOST_TEST(is_rejected(admit(sample(1, 5, 1240), larger), RefusalReason::implausible_rate));
}

BOOST_AUTO_TEST_CASE(the_rate_is_not_judged_across_a_boot_nor_in_simulation)
{
    const auto context = between(sample(1, 4, 1000), std::nullopt);
    Reading rebooted = sample(1, 5, 1'000'000);
    rebooted.boot = boot_id(8);
    BOOST_TEST(is_accepted(admit(rebooted, context)));

    const auto pretended = between(simulated(sample(1, 4, 1000)), std::nullopt);
    BOOST_TEST(is_accepted(admit(simulated(sample(1, 5, 1'000'000)), pretended)));
}

BOOST_AUTO_TEST_CASE(C6_the_rate_is_judged_by_uptime_never_by_wall_time)
{
    const auto context = between(sample(1, 4, 1000), std::nullopt);
    Reading early = sample(1, 5, 1100);
    early.measured_at = WallTime{};
    BOOST_TEST(is_accepted(admit(early, context)));
    Reading late = sample(1, 5, 1200);
    late.measured_at += std::chrono::hours(87'600);
    BOOST_TEST(is_rejected(admit(late, context), RefusalReason::implausible_rate));
}

BOOST_AUTO_TEST_CASE(an_uptime_that_runs_backwards_gives_no_time_for_pulses)
{
    const auto context = between(sample(1, 4, 1000), std::nullopt);
    Reading back = sample(1, 5, 1001);
    back.uptime = std::chrono::seconds(5);
    BOOST_TEST(is_accepted(admit(back, context)));
    back.total.value = 1002;
    BOOST_TEST(is_rejected(admit(back, context), RefusalReason::implausible_rate));
}

BOOST_AUTO_TEST_CASE(after_the_first_of_an_epoch_all_pulses_since_boot_may_come_at_once)
{
    // What was counted before the server's first answer: 80 s of uptime at 43 kW are 955.6 pulses.
    const auto context = between(sample(1, 1, 0), std::nullopt);
    BOOST_TEST(is_accepted(admit(sample(1, 2, 956), context)));
    BOOST_TEST(is_rejected(admit(sample(1, 2, 957), context), RefusalReason::implausible_rate));
}

BOOST_AUTO_TEST_CASE(the_largest_numbers_do_not_overflow)
{
    Reading last = sample(1, largest_integer, largest_integer);
    last.uptime = Uptime::max();
    last.constant.imp_per_kwh = largest_imp_per_kwh;
    Reading first = sample(1, 2, 0);
    first.uptime = Uptime::zero();
    first.constant.imp_per_kwh = largest_imp_per_kwh;
    auto context = between(first, std::nullopt);
    context.max_kw = UINT32_MAX;
    BOOST_TEST(is_accepted(admit(last, context)));
    last.uptime = std::chrono::hours(1); // 2^63 pulses in an hour against 4.3e15
    BOOST_TEST(is_rejected(admit(last, context), RefusalReason::implausible_rate));
}

BOOST_AUTO_TEST_CASE(where_the_operator_accepted_a_fall_a_late_reading_fits_on_either_side)
{
    const auto context = between(sample(1, 4, 1000), sample(1, 6, 500));
    BOOST_TEST(is_accepted(admit(sample(1, 5, 1010), context)));
    BOOST_TEST(is_accepted(admit(sample(1, 5, 490), context)));
    BOOST_TEST(is_rejected(admit(sample(1, 5, 700), context), RefusalReason::total_fell));
    BOOST_TEST(is_rejected(admit(sample(1, 5, 1200), context), RefusalReason::implausible_rate));
    BOOST_TEST(is_rejected(admit(sample(1, 5, 300), context), RefusalReason::implausible_rate));
}

// What a real register sends: within 43 kW, over reboots.
std::vector<Reading> physical_series()
{
    const auto count = *rc::gen::inRange<std::uint64_t>(1, 60);
    std::vector<Reading> series;
    std::uint64_t total = *rc::gen::inRange<std::uint64_t>(0, 1'000'000);
    std::int64_t uptime = 0;
    std::uint8_t boot = 1;
    for (std::uint64_t sequence = 1; sequence <= count; ++sequence) {
        if (*rc::gen::inRange(0, 10) == 0) {
            ++boot;
            uptime = 0;
        }
        const auto elapsed = *rc::gen::inRange<std::int64_t>(0, 30'000);
        const auto most = static_cast<std::uint64_t>(elapsed) * default_max_kw * 1000 / 3'600'000;
        uptime += elapsed;
        total += *rc::gen::inRange<std::uint64_t>(0, most + 1);
        Reading reading = sample(1, sequence, total);
        reading.boot = boot_id(boot);
        reading.uptime = Uptime(uptime);
        series.push_back(reading);
    }
    return series;
}

void shuffle(std::vector<Reading>& readings)
{
    std::mt19937_64 random(*rc::gen::arbitrary<std::uint64_t>());
    std::shuffle(readings.begin(), readings.end(), random);
}

BOOST_AUTO_TEST_CASE(D3_any_order_of_arrival_of_a_register_is_accepted_completely)
{
    BOOST_TEST(rc::check("any order is accepted, repeats are duplicates and change nothing", [] {
        const auto series = physical_series();
        auto arriving = series;
        shuffle(arriving);
        Model model;
        for (const Reading& reading : arriving) {
            RC_ASSERT(is_accepted(model.offer(reading)));
            const auto before = model.rows();
            RC_ASSERT(is_duplicate(model.offer(reading)));
            RC_ASSERT(model.rows() == before);
        }
        std::vector<Reading> stored;
        for (const auto& [sequence, reading] : model.rows())
            stored.push_back(reading);
        RC_ASSERT(stored == series);
    }));
}

BOOST_AUTO_TEST_CASE(C5_whatever_arrives_the_total_never_falls_within_an_epoch)
{
    BOOST_TEST(rc::check("accepted totals rise with the sequence", [] {
        Model model;
        const auto count = *rc::gen::inRange(1, 80);
        for (int i = 0; i < count; ++i) {
            Reading reading =
                sample(1, *rc::gen::inRange<std::uint64_t>(1, 40), *rc::gen::inRange<std::uint64_t>(0, 400));
            reading.boot = boot_id(*rc::gen::inRange<std::uint8_t>(1, 3));
            const auto before = model.rows();
            if (!is_accepted(model.offer(reading)))
                RC_ASSERT(model.rows() == before);
        }
        Pulses before;
        for (const auto& [sequence, reading] : model.rows()) {
            RC_ASSERT(reading.total >= before);
            before = reading.total;
        }
    }));
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace
} // namespace pulsemeter
