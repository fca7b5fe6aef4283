// Our Fernet behind two pipes, for tests/vectors/fernet/against_python.py (row K4). A line of work a line of
// answer:
//   seal KEY TIMESTAMP IV PLAINTEXT   →  TOKEN
//   open KEY TOKEN                    →  ok TIMESTAMP PLAINTEXT | refused
// IV and plaintext are hexadecimal and in front of them stands an x, so that none is empty.
#include "shared/crypto/fernet.hpp"
#include "tests/unit/crypto/hex.hpp"

#include <algorithm>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

using namespace pulsemeter::crypto;
using pulsemeter::test::from_hex;
using pulsemeter::test::to_hex;

namespace {

std::vector<std::uint8_t> bytes_field(std::istream& line)
{
    std::string field;
    if (!(line >> field) || field[0] != 'x')
        throw std::invalid_argument("expected x and hexadecimal digits");
    return from_hex(field.substr(1));
}

std::string answer(std::istream& line)
{
    std::string verb;
    std::string key_text;
    line >> verb >> key_text;
    const auto key = FernetKey::parse(key_text);
    if (!key)
        throw std::invalid_argument("not a key");
    Fernet fernet(*key);
    if (verb == "seal") {
        std::uint64_t timestamp = 0;
        line >> timestamp;
        const auto iv_bytes = bytes_field(line);
        Iv iv{};
        if (iv_bytes.size() != iv.size())
            throw std::invalid_argument("an IV has 16 bytes");
        std::copy(iv_bytes.begin(), iv_bytes.end(), iv.begin());
        return fernet.seal(bytes_field(line), timestamp, iv);
    }
    if (verb != "open")
        throw std::invalid_argument("unknown verb");
    std::string token;
    line >> token;
    const auto opened = fernet.open(token);
    if (!opened)
        return "refused";
    return "ok " + std::to_string(opened->timestamp) + " x" + to_hex(opened->plaintext);
}

} // namespace

int main()
{
    try {
        std::string text;
        while (std::getline(std::cin, text)) {
            std::istringstream line(text);
            std::cout << answer(line) << std::endl; // flushed: the other side waits for it
        }
    } catch (const std::exception& error) {
        std::cerr << "fernet_peer: " << error.what() << '\n';
        return 1;
    }
    return 0;
}
