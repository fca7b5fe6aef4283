// The server's side of the sealed wire with two meters and a ledger in memory, and the other side of it.
#pragma once

#include "server/head_end.hpp"
#include "server/sqlite_ledger.hpp"
#include "shared/protocol.hpp"
#include "tests/unit/server/ledger_helpers.hpp"

#include <boost/test/unit_test.hpp>

namespace pulsemeter {

inline crypto::MasterKey master_key(std::uint8_t number)
{
    std::array<std::uint8_t, 32> bytes{};
    bytes.fill(number);
    return crypto::MasterKey(bytes);
}

inline crypto::Iv counted_iv()
{
    static std::uint8_t count = 0;
    return {++count};
}

// The other side of the wire.
class Pi {
public:
    Pi(std::string_view name, std::uint8_t key)
        : id(meter_id(name)), keys(crypto::derive(master_key(key), id)), up_(keys.up), down_(keys.down)
    {
    }
    std::string seal(const UpMessage& message)
    {
        return up_.seal(encode(id, message), 1'700'000'000, counted_iv());
    }
    std::string seal_down(const DownMessage& message)
    {
        return down_.seal(encode(id, message), 1'700'000'000, counted_iv());
    }
    std::string seal_as(const MeterId& other, const UpMessage& message)
    {
        return up_.seal(encode(other, message), 1'700'000'000, counted_iv());
    }
    // What was sent to it, opened; fails the test if it can't be.
    std::vector<DownMessage> received(const HeadEndResult& result)
    {
        std::vector<DownMessage> messages;
        for (const Outgoing& outgoing : result.outgoing) {
            if (outgoing.topic != keys.down_topic)
                continue;
            BOOST_TEST(outgoing.payload.size() == sealed_size);
            const auto opened = down_.open(outgoing.payload);
            BOOST_TEST_REQUIRE(opened.has_value());
            const auto message = decode_down(id, opened->plaintext);
            BOOST_TEST_REQUIRE(message.has_value());
            messages.push_back(*message);
        }
        return messages;
    }

    MeterId id;
    crypto::MeterKeys keys;

private:
    crypto::Fernet up_;
    crypto::Fernet down_;
};

inline DownMessage confirmation(std::uint32_t epoch, std::uint64_t first, std::uint64_t last)
{
    return Confirmation{Epoch{epoch}, Sequence{first}, Sequence{last}};
}

inline Hello hello(std::uint8_t nonce, Source source = Source::measured)
{
    Hello made;
    made.nonce.fill(nonce);
    made.source = source;
    return made;
}

class HeadEndWorld {
protected:
    HeadEndWorld()
    {
        head_end.add_meter(pi.id, pi.keys);
        head_end.add_meter(other.id, other.keys);
    }
    HeadEndResult deliver(const std::vector<std::string>& payloads, WallTime now = noon)
    {
        std::vector<Arrival> arrivals;
        arrivals.reserve(payloads.size());
        for (const std::string& payload : payloads)
            arrivals.push_back({pi.keys.up_topic, payload, 1, false});
        return head_end.handle(arrivals, now);
    }
    HeadEndResult deliver_readings(const std::vector<Reading>& readings)
    {
        std::vector<std::string> payloads;
        payloads.reserve(readings.size());
        for (const Reading& reading : readings)
            payloads.push_back(pi.seal(reading));
        return deliver(payloads);
    }
    // Nothing was learned, nothing is answered.
    void check_ignored(const HeadEndResult& result)
    {
        BOOST_TEST(result.outgoing.empty());
        BOOST_TEST(result.admitted.empty());
        BOOST_TEST(!ledger.summary(pi.id).has_value());
        BOOST_TEST(!ledger.summary(other.id).has_value());
    }

    Pi pi{"kitchen", 1};
    Pi other{"garage", 2};
    SqliteLedger ledger{":memory:", LedgerAccess::create};
    HeadEnd head_end{ledger, counted_iv};
};

} // namespace pulsemeter
