// The expected values come from python-cryptography's HKDF, given the infos that shared/PROTOCOL.md states.
#include "shared/crypto/meter_keys.hpp"
#include "tests/unit/crypto/hex.hpp"

#include <boost/test/unit_test.hpp>

#include <set>
#include <string>

using namespace pulsemeter;
using namespace pulsemeter::crypto;

namespace {

MasterKey master(const std::string& text)
{
    const auto key = MasterKey::parse(text);
    BOOST_TEST_REQUIRE(key.has_value());
    return *key;
}

MeterId meter(const std::string& text)
{
    const auto id = MeterId::parse(text);
    BOOST_TEST_REQUIRE(id.has_value());
    return *id;
}

const std::string ascending = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

} // namespace

BOOST_AUTO_TEST_SUITE(meter_keys)

BOOST_AUTO_TEST_CASE(K3_derived_keys_and_topics)
{
    const MeterKeys house = derive(master(ascending), meter("house"));
    BOOST_TEST(house.up.text() == "v6h5SCc9s0QPv7zyQyEsEnbT5Bpux5ghLYcBsphcjeI=");
    BOOST_TEST(house.down.text() == "KLQ-ILU2TrXrSadUOGdd7s4cDxur9vVOoLMCj874XLA=");
    BOOST_TEST(house.up_topic == "pulsemeter/f0769939d524cc44cc322480b9e8f97e/up");
    BOOST_TEST(house.down_topic == "pulsemeter/f0769939d524cc44cc322480b9e8f97e/down");

    const MeterKeys other = derive(master("__________________________________________8="),
                                   meter("a-32-characters-long-meter-id-01"));
    BOOST_TEST(other.up.text() == "-Is0HCy7IjVVOJUNl1o94pnDkuSL2Pyd0BAETg3q7fs=");
    BOOST_TEST(other.down.text() == "IBvuPlCrRdg2_pibbdawiAos6sM0yYI6mw6bo_ptp2M=");
    BOOST_TEST(other.up_topic == "pulsemeter/35c9dbf5b988d4d4308ee4d4764027e3/up");
    BOOST_TEST(other.down_topic == "pulsemeter/35c9dbf5b988d4d4308ee4d4764027e3/down");
}

BOOST_AUTO_TEST_CASE(directions_and_meters_have_keys_of_their_own)
{
    const MasterKey key = master(ascending);
    const MeterKeys house = derive(key, meter("house"));
    const MeterKeys shed = derive(key, meter("shed"));
    const std::set<std::string> keys = {house.up.text(), house.down.text(), shed.up.text(), shed.down.text(),
                                        key.text()};
    BOOST_TEST(keys.size() == 5U);
}

BOOST_AUTO_TEST_CASE(master_keys_are_random_and_have_one_spelling)
{
    const MasterKey first = MasterKey::random();
    BOOST_TEST(first.text() != MasterKey::random().text());
    BOOST_TEST(first.text().size() == 44U);
    BOOST_TEST(master(first.text()).text() == first.text());
    BOOST_TEST(test::to_hex(master(ascending).bytes()) ==
               "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
    for (const std::string text :
         {"", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=",
          "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gIQ=="})
        BOOST_TEST(!MasterKey::parse(text).has_value(), "accepted: " << text);
}

BOOST_AUTO_TEST_SUITE_END()
