// The message bus on Eclipse Paho. Its threads only push to a bounded queue (10,000 messages, the newest dropped and
// counted beyond; payloads above 4 KiB dropped at once) and call `wake`; what happened itself is never dropped.
// Reconnects by a supervisor of its own in tick(): 500 ms to 30 s, jittered, and calm again only after 10 s of good
// connection. Clean start, nothing kept by the broker or on disk. Looks up names in a thread of its own, so that no
// call blocks on a DNS server that hangs. With mqtts:// the chain and the host name of the broker's certificate are
// verified, TLS is 1.2 or newer, and there is never a connection without it; a failure is looked into in a thread of its
// own, so that its reason can be named. One of these a process is the intended use; more work.
#pragma once

#include "shared/broker_settings.hpp"
#include "shared/message_bus.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace pulsemeter {

class PahoMessageBus : public MessageBus {
public:
    // Throws UsageError if a file that [broker] names is not what it should be.
    // `wake` is called from other threads until the destructor returns; it must not block (EventLoop::wake).
    PahoMessageBus(const BrokerSettings& settings, std::string client_id, std::uint64_t seed,
                   std::function<void()> wake);
    ~PahoMessageBus() override; // without close(): outstanding publishes are not waited for
    PahoMessageBus(const PahoMessageBus&) = delete;
    PahoMessageBus& operator=(const PahoMessageBus&) = delete;

    void subscribe(const std::string& topic) override;
    void require(const std::string& topic) override;
    void unsubscribe(const std::string& topic) override;
    [[nodiscard]] bool publish(const std::string& topic, std::string_view payload, Retain retain) override;
    [[nodiscard]] std::vector<BusEvent> take() override;
    std::chrono::steady_clock::time_point tick(std::chrono::steady_clock::time_point now) override;
    void close() override;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace pulsemeter
