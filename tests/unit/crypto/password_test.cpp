// Rows A2, A3 and K3: what the operator's password goes through.
#include "server/crypto/password_key.hpp"
#include "server/crypto/password_rules.hpp"
#include "tests/unit/crypto/hex.hpp"

#include <boost/test/unit_test.hpp>

#include <string>

using namespace pulsemeter;
using namespace pulsemeter::crypto;
using pulsemeter::test::to_bytes;
using pulsemeter::test::to_hex;

BOOST_AUTO_TEST_SUITE(password)

// Our keys have 32 bytes: the first half of the RFC's 64, which scrypt's last step makes apart from the rest. The
// RFC's fourth vector asks for 1 GiB, more than we let a file ask for.
BOOST_AUTO_TEST_CASE(K3_RFC_7914_scrypt)
{
    const auto key = [](std::string_view text, const std::string& salt, const ScryptParameters& parameters) {
        return to_hex(password_key(text, to_bytes(salt), parameters).bytes());
    };
    BOOST_TEST(key("", "", {.n = 16, .r = 1, .p = 1}) ==
               "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442");
    BOOST_TEST(key("password", "NaCl", {.n = 1024, .r = 8, .p = 16}) ==
               "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162");
    BOOST_TEST(key("pleaseletmein", "SodiumChloride", {.n = 16384, .r = 8, .p = 1}) ==
               "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2");
}

BOOST_AUTO_TEST_CASE(A2_the_default_cost)
{
    const ScryptParameters parameters;
    BOOST_TEST(parameters.n == 131072U);
    BOOST_TEST(parameters.r == 8U);
    BOOST_TEST(parameters.p == 1U);
    BOOST_TEST(acceptable(parameters));
    // OpenSSL's limit of memory would refuse it if it were not raised. The value is python-cryptography's.
    BOOST_TEST(to_hex(password_key("correct horse", to_bytes("0123456789abcdef"), parameters).bytes()) ==
               "aa6b264e05219145de9ee3be635c6926423619248d53fbe162940b97c1766983");
}

BOOST_AUTO_TEST_CASE(a_file_may_not_ask_for_absurd_costs)
{
    BOOST_TEST(acceptable({.n = 1U << 18, .r = 8, .p = 1}));
    BOOST_TEST(!acceptable({.n = 1U << 19, .r = 8, .p = 1}));
    BOOST_TEST(!acceptable({.n = 1U << 17, .r = 8, .p = 3}));
    BOOST_TEST(!acceptable({.n = 0, .r = 8, .p = 1}));
    BOOST_TEST(!acceptable({.n = 1, .r = 8, .p = 1}));
    BOOST_TEST(!acceptable({.n = 1000, .r = 8, .p = 1}));
    BOOST_TEST(!acceptable({.n = 1024, .r = 0, .p = 1}));
    BOOST_TEST(!acceptable({.n = 1024, .r = 8, .p = 0}));
    BOOST_TEST(!acceptable({.n = std::uint64_t{1} << 63, .r = 8, .p = 1}));
    BOOST_TEST(!acceptable({.n = std::uint64_t{1} << 63, .r = 2, .p = 2}));
    BOOST_TEST(!acceptable({.n = 2, .r = 0xffffffff, .p = 0xffffffff}));
    BOOST_TEST(!acceptable({.n = 2, .r = 1, .p = 0x80000000}));
    // The products that would wrap around to nothing.
    BOOST_TEST(!acceptable({.n = 1U << 21, .r = 0x80000000, .p = 1024}));
    BOOST_TEST(!acceptable({.n = 1U << 21, .r = 1024, .p = 0x80000000}));
    // What is acceptable at its dearest, OpenSSL takes.
    for (const ScryptParameters dearest :
         {ScryptParameters{.n = 2, .r = 1024, .p = 1024}, ScryptParameters{.n = 2048, .r = 1, .p = 1024},
          ScryptParameters{.n = 1U << 18, .r = 8, .p = 1}}) {
        BOOST_TEST(acceptable(dearest));
        BOOST_CHECK_NO_THROW((void)password_key("x", to_bytes("0123456789abcdef"), dearest));
    }
}

BOOST_AUTO_TEST_CASE(salts_differ)
{
    BOOST_TEST((random_salt() != random_salt()));
}

BOOST_AUTO_TEST_CASE(A3_at_least_8_characters)
{
    BOOST_TEST(check_new_password("kvNw7-x") != "");
    BOOST_TEST(check_new_password("kvNw7-xq") == "");
    BOOST_TEST(check_new_password("") != "");
    BOOST_TEST(check_new_password("\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f") != ""); // 4 characters in 8 bytes
    BOOST_TEST(check_new_password("\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9fkvNw") == "");
    BOOST_TEST(check_new_password("correct horse battery staple") == "");
}

BOOST_AUTO_TEST_CASE(A3_no_common_password)
{
    for (const char* common : {"password", "Password1", "PASSWORD", "12345678", "123456789", "qwertyuiop",
                               "iloveyou", "meterserver", "11111111", "        "})
        BOOST_TEST(check_new_password(common) != "", "accepted: " << common);
    BOOST_TEST(check_new_password("password and more") == "");
}

BOOST_AUTO_TEST_SUITE_END()
