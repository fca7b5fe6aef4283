// Bytes and texts that are wiped when they go, so that a key or a password does not stay behind in freed
// memory or on the stack. Nothing here prints. Each copy is wiped for itself.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace pulsemeter::crypto {

void wipe(std::span<std::uint8_t> bytes); // not optimised away
void wipe(std::string& text);             // and leaves it empty

template <std::size_t size>
class SecretBytes {
public:
    SecretBytes() = default;
    explicit SecretBytes(std::span<const std::uint8_t, size> bytes)
    {
        std::copy(bytes.begin(), bytes.end(), bytes_.begin());
    }
    SecretBytes(const SecretBytes&) = default;
    SecretBytes& operator=(const SecretBytes&) = default;
    ~SecretBytes() { wipe(bytes_); }
    [[nodiscard]] std::span<std::uint8_t, size> bytes() { return bytes_; }
    [[nodiscard]] std::span<const std::uint8_t, size> bytes() const { return bytes_; }

private:
    std::array<std::uint8_t, size> bytes_{};
};

// A size known only at run time. Move-only, so that there is one place to wipe.
class SecretBuffer {
public:
    explicit SecretBuffer(std::size_t size) : bytes_(size) {}
    SecretBuffer(SecretBuffer&&) = default;
    SecretBuffer& operator=(SecretBuffer&&) = delete;
    ~SecretBuffer() { wipe(bytes_); }
    [[nodiscard]] std::span<std::uint8_t> bytes() { return bytes_; }
    [[nodiscard]] std::span<const std::uint8_t> bytes() const { return bytes_; }

private:
    std::vector<std::uint8_t> bytes_;
};

// A text, say a password. One that grows leaves its shorter beginnings behind: give it whole.
class SecretText {
public:
    explicit SecretText(std::string text) : text_(std::move(text)) {}
    SecretText(const SecretText&) = delete;
    SecretText& operator=(const SecretText&) = delete;
    ~SecretText() { wipe(text_); }
    [[nodiscard]] const std::string& text() const { return text_; }

private:
    std::string text_;
};

} // namespace pulsemeter::crypto
