// One attempt of Paho to be connected, from connect to loss; a new one is made for each, so that nothing queued, half
// sent or wedged in an earlier one lives on. What becomes of it is reported to the inbox under its number.
// One thread uses it; Paho's own threads only push to the inbox, which must outlive it. Destroying says goodbye to
// the broker if there still is a connection, and does not wait.
#pragma once

#include "shared/broker_settings.hpp"
#include "shared/bus_inbox.hpp"
#include "shared/publish_watch.hpp"

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

namespace pulsemeter {

class PahoConnection {
public:
    static constexpr int most_outstanding = PublishWatch::most; // or what the broker allows

    // `uri` as Paho takes it. With "ssl://" the host in it is the one that the certificate must be for.
    PahoConnection(ConnectionNumber number, const std::string& uri, const std::string& client_id,
                   BrokerSettings settings, BusInbox& inbox);
    ~PahoConnection();
    PahoConnection(const PahoConnection&) = delete;
    PahoConnection& operator=(const PahoConnection&) = delete;

    // False: it can't even be tried, for want of memory or of a connection. Reports otherwise. UsageError if the
    // password can't be read.
    [[nodiscard]] bool connect();
    [[nodiscard]] bool subscribe(const std::string& topic, SubscriptionNumber subscription);
    [[nodiscard]] bool unsubscribe(const std::string& topic); // reports nothing: nobody waits for the answer
    [[nodiscard]] bool publish(const std::string& topic, std::string_view payload, Retain retain);

    [[nodiscard]] const PublishWatch& publishes() const;

    // Until every publish was acknowledged or given up.
    void wait_for_outstanding(std::chrono::steady_clock::time_point deadline);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace pulsemeter
