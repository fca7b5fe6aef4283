// Row C5: what an operator set on the meter is an event of the ledger, and shown.
#include "server/register_change.hpp"
#include "server/report.hpp"
#include "tests/unit/server/ledger_helpers.hpp"

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

using namespace pulsemeter;

namespace {

Reading with(Reading reading, std::initializer_list<MeterEvent> events)
{
    reading.start = MilliwattHours{12'345'678'000};
    for (const MeterEvent event : events)
        reading.events |= static_cast<std::uint32_t>(event);
    return reading;
}

} // namespace

BOOST_AUTO_TEST_SUITE(register_changes)

BOOST_AUTO_TEST_CASE(C5_a_set_register_is_told_with_its_value_and_its_reason)
{
    BOOST_TEST(!register_change(with(sample(3, 1, 0), {MeterEvent::started})).has_value());
    BOOST_TEST(register_change(with(sample(3, 1, 0), {MeterEvent::register_set})).value() ==
               "register set to 12345.678 kWh at 1000 imp/kWh in epoch 3");
    BOOST_TEST(register_change(with(sample(3, 1, 0), {MeterEvent::register_set, MeterEvent::meter_swapped,
                                                      MeterEvent::constant_changed}))
                   .value() ==
               "register set to 12345.678 kWh at 1000 imp/kWh in epoch 3 (another meter, another imp/kWh)");
}

BOOST_AUTO_TEST_CASE(C5_a_set_register_is_one_event_and_no_consumption)
{
    SqliteLedger ledger(":memory:", LedgerAccess::create);
    (void)append(ledger, sample(1, 1, 0));
    (void)append(ledger, sample(1, 2, 40));
    BOOST_TEST(!ledger.summary(kitchen)->register_set.has_value());
    const Reading first = with(sample(2, 1, 0), {MeterEvent::register_set});
    BOOST_TEST(is_accepted(append(ledger, first).outcome));
    BOOST_TEST(is_duplicate(append(ledger, first).outcome));
    (void)append(ledger, with(sample(2, 2, 3), {}));
    BOOST_TEST(count_events(ledger, EventKind::register_set) == 1U);
    const auto summary = ledger.summary(kitchen);
    BOOST_REQUIRE(summary.has_value());
    BOOST_REQUIRE(summary->register_set.has_value());
    BOOST_TEST((summary->register_set->reading == first));
    BOOST_TEST((summary->consumption == std::vector<ConsumedPulses>{{MeterConstant{1000}, Pulses{43}}}));

    const report::MeterStatus status{kitchen, summary};
    const auto tariff = Tariff::parse("0.39", "£");
    const auto json = nlohmann::json::parse(report::status_json({&status, 1}, {}, *tariff, noon));
    BOOST_TEST(json.at("meters").at(0).at("register_set_at") == "2023-11-14T22:13:30.000Z");
    BOOST_TEST(report::status_table({&status, 1}, *tariff, noon).find("fresh, register set 2023-11-14") !=
               std::string::npos);
    const auto row = nlohmann::json::parse(report::reading_json({first, noon, Standing::admitted}));
    BOOST_TEST(row.at("events") == nlohmann::json{"register_set"});
}

BOOST_AUTO_TEST_SUITE_END()
