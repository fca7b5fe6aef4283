#include "shared/paho_connection.hpp"

#include "shared/broker_files.hpp"
#include "shared/crypto/tls_handshake.hpp"
#include "shared/log.hpp"

#include <mqtt/async_client.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <utility>

namespace pulsemeter {
namespace {

constexpr std::chrono::seconds keep_alive{15};
constexpr std::chrono::seconds connect_timeout{10}; // the supervisor's own clock is the one that counts
constexpr int max_inflight = 1000;
constexpr int receive_maximum = 1000;
constexpr int largest_packet = 64 * 1024;

int paho_version(MqttVersion version)
{
    return version == MqttVersion::v5 ? MQTTVERSION_5 : MQTTVERSION_3_1_1;
}

// Verified are the chain (server_cert_auth) and the host name (verify, which Paho's C library leaves off).
// Filled in place: see Impl::tls.
void set_tls_options(mqtt::ssl_options& options, const TlsFiles& files)
{
    options.set_enable_server_cert_auth(true);
    options.set_verify(true);
    options.set_enabled_cipher_suites(crypto::tls_ciphers);
    if (!files.ca_file.empty())
        options.set_trust_store(files.ca_file.string());
    if (!files.ca_folder.empty())
        options.ca_path(files.ca_folder.string());
    if (!files.client_cert.empty()) {
        options.set_key_store(files.client_cert.string());
        options.set_private_key(files.client_key.string());
    }
}

// Filled in place too: see Impl::options.
void set_connect_options(mqtt::connect_options& options, const BrokerSettings& settings)
{
    const MqttVersion version = settings.version;
    options.set_mqtt_version(paho_version(version));
    options.set_automatic_reconnect(false);
    options.set_keep_alive_interval(keep_alive);
    options.set_connect_timeout(connect_timeout);
    options.set_max_inflight(max_inflight);
    if (version == MqttVersion::v5) {
        options.set_clean_session(false); // Paho C 1.3.12 refuses a version 5 connect that has it set
        options.set_clean_start(true);
        mqtt::properties properties;
        properties.add({mqtt::property::SESSION_EXPIRY_INTERVAL, 0});
        properties.add({mqtt::property::RECEIVE_MAXIMUM, receive_maximum});
        properties.add({mqtt::property::MAXIMUM_PACKET_SIZE, largest_packet});
        options.set_properties(std::move(properties));
    } else {
        options.set_clean_session(true);
    }
    if (!settings.username.empty())
        options.set_user_name(settings.username);
    if (!settings.password_file.empty())
        options.set_password(read_broker_password(settings));
}

// The one number that says why: a CONNACK's or SUBACK's code, else Paho's own, which is negative. Which of the two
// getters has it depends on the versions of MQTT and of Paho.
int failure_code(const mqtt::token& token)
{
    const int reason = static_cast<int>(token.get_reason_code());
    const bool meant = reason >= 0x80 && reason != mqtt::MQTTPP_V3_CODE;
    return token.get_return_code() <= 0 && meant ? reason : token.get_return_code();
}

// How many publishes the broker takes at once. Paho would hold back the rest, but not look again before a second has
// passed or another one comes.
int window_of(const mqtt::properties& properties)
{
    if (!properties.contains(mqtt::property::RECEIVE_MAXIMUM))
        return PahoConnection::most_outstanding;
    return std::clamp<int>(mqtt::get<std::uint16_t>(properties, mqtt::property::RECEIVE_MAXIMUM), 1,
                           PahoConnection::most_outstanding);
}

// Paho writes what it does into a ring in memory, packet by packet, which nobody reads.
void keep_no_trace()
{
    MQTTAsync_setTraceLevel(MQTTASYNC_TRACE_ERROR);
}

// Never connected and never destroyed: with the last client Paho ends its threads, and that takes up to a second
// under the lock that the next connection needs.
void keep_threads_running()
{
    static const auto* const keeper =
        new mqtt::async_client("tcp://127.0.0.1:1", "", mqtt::create_options(MQTTVERSION_5));
    static_cast<void>(keeper);
}

} // namespace

// Every function here runs in a thread of Paho's that holds Paho's lock: it may only push and count. The other way
// round the loop never holds a lock of ours when it calls Paho, so that the two can't wait for each other.
struct PahoConnection::Impl : mqtt::callback {
    struct OpenListener : mqtt::iaction_listener {
        explicit OpenListener(Impl& impl) : owner(impl) {}
        void on_success(const mqtt::token& token) override // connected() comes next and reports it
        {
            owner.window = window_of(token.get_connect_response().get_properties());
        }
        void on_failure(const mqtt::token& token) override
        {
            owner.inbox.push(OpenFailed{owner.number, failure_code(token)});
        }
        Impl& owner;
    };

    struct SubscribeListener : mqtt::iaction_listener {
        explicit SubscribeListener(Impl& impl) : owner(impl) {}
        void on_success(const mqtt::token& token) override
        {
            owner.inbox.push(Subscribed{owner.number, number_of(token), (*token.get_topics())[0]});
        }
        void on_failure(const mqtt::token& token) override
        {
            const int code = failure_code(token);
            if (code > 0) { // else the connection failed, which is reported as such
                owner.inbox.push(
                    SubscribeFailed{owner.number, number_of(token), (*token.get_topics())[0], code});
            }
        }
        static SubscriptionNumber number_of(const mqtt::token& token)
        {
            return reinterpret_cast<SubscriptionNumber>(token.get_user_context());
        }
        Impl& owner;
    };

    struct PublishListener : mqtt::iaction_listener {
        explicit PublishListener(Impl& impl) : owner(impl) {}
        void on_success(const mqtt::token& token) override { owner.publish_ended(token.get_user_context()); }
        void on_failure(const mqtt::token& token) override
        {
            const int code = failure_code(token);
            if (code > 0) // else the connection failed, which is reported as such
                owner.inbox.push(PublishRefused{owner.number, (*token.get_topics())[0], code});
            owner.publish_ended(token.get_user_context());
        }
        Impl& owner;
    };

    Impl(ConnectionNumber connection, const std::string& uri, const std::string& client_id,
         BrokerSettings broker, BusInbox& reports)
        : number(connection),
          settings(std::move(broker)),
          inbox(reports),
          client(uri, client_id, mqtt::create_options(paho_version(settings.version), most_outstanding))
    {
        set_tls_options(tls, settings.tls);
        client.set_callback(*this);
        client.set_disconnected_handler([this](const mqtt::properties&, mqtt::ReasonCode code) {
            inbox.push(Lost{number, static_cast<int>(code)}); // the broker will close it, but said why
        });
    }

    void connected(const std::string&) override { inbox.push(Opened{number}); }
    void connection_lost(const std::string&) override { inbox.push(Lost{number, 0}); }
    void message_arrived(mqtt::const_message_ptr message) override
    {
        if (!message)
            return;
        const auto& payload = message->get_payload_ref();
        if (payload.size() > BusInbox::largest_payload ||
            message->get_topic().size() > BusInbox::largest_payload) {
            inbox.count_too_large();
            return;
        }
        inbox.push(Received{message->get_topic(), message->get_payload(), message->get_qos(),
                            message->is_retained()});
    }

    void publish_ended(void* place)
    {
        const int left =
            publishes.end(*static_cast<PublishWatch::Place*>(place), std::chrono::steady_clock::now());
        if (left == 0) {
            const std::lock_guard lock(mutex);
            all_ended.notify_all();
        }
        wake_if_there_is_room();
    }

    // Who was turned away is told when half of the window is free again.
    void wake_if_there_is_room()
    {
        if (publishes.outstanding() <= window / 2 && turned_away.exchange(false))
            inbox.wake();
    }

    const ConnectionNumber number;
    const BrokerSettings settings;
    mqtt::connect_options options; // all copies of Paho C++ 1.2 point to the properties in here, or have none
    mqtt::ssl_options tls; // Paho C++ 1.2 never copies the CA folder, all copies point to the one in here
    BusInbox& inbox;
    std::atomic<int> window = most_outstanding;
    PublishWatch publishes;
    std::atomic<bool> turned_away = false;
    std::mutex mutex;
    std::condition_variable all_ended;
    OpenListener open_listener{*this};
    SubscribeListener subscribe_listener{*this};
    PublishListener publish_listener{*this};
    mqtt::async_client client; // last, so that its threads are done with all above before those go
};

PahoConnection::PahoConnection(ConnectionNumber number, const std::string& uri, const std::string& client_id,
                               BrokerSettings settings, BusInbox& inbox)
    : impl_(std::make_unique<Impl>(number, uri, client_id, std::move(settings), inbox))
{
    keep_no_trace();
    keep_threads_running();
}

PahoConnection::~PahoConnection() = default;

bool PahoConnection::connect()
{
    set_connect_options(impl_->options, impl_->settings);
    if (impl_->settings.url.transport == Transport::tls)
        impl_->options.set_ssl(impl_->tls);
    try {
        impl_->client.connect(impl_->options, nullptr, impl_->open_listener);
        return true;
    } catch (const mqtt::exception& error) {
        log::debug("connect: {}", error.what());
        return false;
    }
}

bool PahoConnection::subscribe(const std::string& topic, SubscriptionNumber subscription)
{
    // NOLINTNEXTLINE(performance-no-int-to-ptr): Paho only carries it, and number_of() turns it back
    void* const number = reinterpret_cast<void*>(subscription);
    try {
        impl_->client.subscribe(topic, 1, number, impl_->subscribe_listener);
        return true;
    } catch (const mqtt::exception& error) {
        log::debug("subscribe: {}", error.what());
        return false;
    }
}

bool PahoConnection::unsubscribe(const std::string& topic)
{
    try {
        impl_->client.unsubscribe(topic);
        return true;
    } catch (const mqtt::exception& error) {
        log::debug("unsubscribe: {}", error.what());
        return false;
    }
}

bool PahoConnection::publish(const std::string& topic, std::string_view payload, Retain retain)
{
    if (impl_->publishes.outstanding() >= impl_->window) {
        impl_->turned_away = true;
        impl_->wake_if_there_is_room(); // the last one may have ended in between
        return false;
    }
    PublishWatch::Place& place = impl_->publishes.begin(std::chrono::steady_clock::now());
    try {
        impl_->client.publish(topic, payload.data(), payload.size(), 1, retain == Retain::yes, &place,
                              impl_->publish_listener);
        impl_->publishes.taken();
        return true;
    } catch (const mqtt::exception& error) {
        impl_->publishes.refused(place, std::chrono::steady_clock::now());
        log::debug("publish: {}", error.what());
        return false;
    }
}

const PublishWatch& PahoConnection::publishes() const
{
    return impl_->publishes;
}

void PahoConnection::wait_for_outstanding(std::chrono::steady_clock::time_point deadline)
{
    std::unique_lock lock(impl_->mutex);
    impl_->all_ended.wait_until(lock, deadline, [this] { return impl_->publishes.outstanding() == 0; });
}

} // namespace pulsemeter
