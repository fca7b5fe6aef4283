// What the head end makes of what no meter of its own has sent, or not so.
#include "tests/unit/server/head_end_world.hpp"

namespace pulsemeter {
namespace {

using namespace std::chrono_literals;

BOOST_AUTO_TEST_SUITE(head_end_hostile)

BOOST_FIXTURE_TEST_CASE(B2_a_retained_hello_is_not_answered, HeadEndWorld)
{
    const std::string token = pi.seal(hello(5));
    const Arrival retained{pi.keys.up_topic, token, 1, true};
    check_ignored(head_end.handle(std::span(&retained, 1), noon));
}

BOOST_FIXTURE_TEST_CASE(K5_a_token_that_is_not_the_meter_s_changes_nothing, HeadEndWorld)
{
    const std::string good = pi.seal(sample(1, 1, 48));
    std::vector<std::string> bad = {"x", good.substr(1), good + "A", good + good,
                                    std::string(sealed_size, 'A')};
    for (std::size_t place = 0; place < good.size(); ++place) {
        std::string flipped = good;
        flipped[place] = flipped[place] == 'A' ? 'B' : 'A';
        bad.push_back(flipped);
    }
    check_ignored(deliver(bad));
    const auto after = deliver({good});
    BOOST_TEST((pi.received(after) == std::vector{confirmation(1, 1, 1)}));
}

BOOST_FIXTURE_TEST_CASE(B2_reflected_swapped_and_misnamed_tokens_change_nothing, HeadEndWorld)
{
    // Sent up again: what we sent down; then the same under a forger's hope that one key serves both ways.
    check_ignored(deliver({pi.seal_down(confirmation(1, 1, 1))}));
    // Another meter's token under this one's topic.
    check_ignored(deliver({other.seal(sample(1, 1, 48))}));
    // The right key, but another meter's name inside.
    check_ignored(deliver({pi.seal_as(other.id, sample(1, 1, 48))}));
    // A topic of nobody, and a down topic.
    const std::string token = pi.seal(sample(1, 1, 48));
    for (const std::string& topic :
         {std::string("pulsemeter/nobody/up"), pi.keys.down_topic, std::string()}) {
        const Arrival arrival{topic, token, 1, false};
        const auto result = head_end.handle(std::span(&arrival, 1), noon);
        check_ignored(result);
        BOOST_TEST(result.alarms.empty());
    }
}

BOOST_FIXTURE_TEST_CASE(B2_a_plaintext_of_the_wrong_kind_or_direction_under_the_up_key_changes_nothing,
                        HeadEndWorld)
{
    crypto::Fernet up(pi.keys.up);
    const DownMessage state = confirmation(1, 1, 1);
    Plaintext wrong_version = encode(pi.id, UpMessage{sample(1, 1, 48)});
    wrong_version[0] = 2;
    Plaintext padded = encode(pi.id, UpMessage{sample(1, 1, 48)});
    padded.back() = 1;
    for (const Plaintext& plaintext : {encode(pi.id, state), wrong_version, padded, Plaintext{}})
        check_ignored(deliver({up.seal(plaintext, 0, counted_iv())}));
}

BOOST_FIXTURE_TEST_CASE(I2_bad_tokens_are_alarmed_at_most_once_an_hour_a_meter, HeadEndWorld)
{
    const std::vector<std::string> junk(100, "junk");
    const auto first = deliver(junk, noon);
    BOOST_TEST_REQUIRE(first.alarms.size() == 1U);
    BOOST_TEST((first.alarms[0].kind == EventKind::bad_tokens));
    BOOST_TEST((first.alarms[0].meter == pi.id));
    BOOST_TEST(deliver(junk, noon + 59min).alarms.empty());
    const auto later = deliver({"junk"}, noon + 61min);
    BOOST_TEST_REQUIRE(later.alarms.size() == 1U);
    BOOST_TEST(later.alarms[0].text.starts_with("200 message(s)")); // 99 + 100 + 1
    BOOST_TEST(count_events(ledger, EventKind::bad_tokens) == 2U);
    // An empty payload only clears what was retained.
    BOOST_TEST(deliver({""}, noon + 5h).alarms.empty());
}

BOOST_FIXTURE_TEST_CASE(I2_a_good_meter_beside_junk_is_confirmed, HeadEndWorld)
{
    std::vector<std::string> payloads(50, std::string(sealed_size, 'A'));
    payloads.push_back(pi.seal(sample(1, 1, 48)));
    payloads.insert(payloads.end(), 50, std::string(1'000'000, 'A'));
    BOOST_TEST((pi.received(deliver(payloads)) == std::vector{confirmation(1, 1, 1)}));
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace
} // namespace pulsemeter
