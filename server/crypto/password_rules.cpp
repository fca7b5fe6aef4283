#include "server/crypto/password_rules.hpp"

#include <algorithm>
#include <array>

namespace pulsemeter {
namespace {

constexpr std::ptrdiff_t fewest_characters = 8;

// The commonest of the published lists that are long enough, and the words that lie near here. Lower case.
constexpr auto common_passwords = std::to_array<std::string_view>(
    {"12345678",   "123456789",   "1234567890", "0123456789", "123123123",   "12341234",      "12344321",
     "87654321",   "987654321",   "9876543210", "11223344",   "1122334455",  "147258369",     "123454321",
     "1q2w3e4r",   "1q2w3e4r5t",  "1qaz2wsx",   "1qazxsw2",   "q1w2e3r4",    "q1w2e3r4t5",    "qwertyui",
     "qwertyuiop", "qwerty12",    "qwerty123",  "qwerty1234", "qwer1234",    "asdfghjk",      "asdfghjkl",
     "asdf1234",   "zxcvbnm1",    "qazwsxedc",  "password",   "password1",   "password12",    "password123",
     "passw0rd",   "p@ssw0rd",    "p@ssword",   "pa55word",   "passwort",    "passwort1",     "motdepasse",
     "contrasena", "kennwort",    "geheim123",  "changeme",   "changeit",    "letmein1",      "letmein123",
     "welcome1",   "welcome123",  "hello123",   "admin123",   "admin1234",   "administrator", "root1234",
     "test1234",   "testtest",    "secret123",  "default1",   "guest123",    "abcdefgh",      "abcd1234",
     "abc12345",   "a1b2c3d4",    "aa123456",   "iloveyou",   "iloveyou1",   "sunshine",      "princess",
     "football",   "baseball",    "superman",   "batman123",  "trustno1",    "starwars",      "whatever",
     "computer",   "internet",    "michelle",   "jennifer",   "liverpool",   "dragon123",     "monkey123",
     "raspberry",  "raspberrypi", "mosquitto",  "pulsemeter", "electricity", "meterserver"});

bool begins_character(char c)
{
    return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U;
}

bool same_but_for_case(std::string_view password, std::string_view lower_case)
{
    return std::equal(password.begin(), password.end(), lower_case.begin(), lower_case.end(),
                      [](char c, char lower) { return (c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c) == lower; });
}

} // namespace

std::string check_new_password(std::string_view password)
{
    if (std::count_if(password.begin(), password.end(), begins_character) < fewest_characters)
        return "the password is too short: take at least 8 characters";
    if (password.find_first_not_of(password.front()) == std::string_view::npos)
        return "the password is one character over and over: take another";
    if (std::any_of(common_passwords.begin(), common_passwords.end(),
                    [&](std::string_view common) { return same_but_for_case(password, common); }))
        return "the password is one of those that are guessed first: take another";
    return {};
}

} // namespace pulsemeter
