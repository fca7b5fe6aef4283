// The peer of throughput.py that shows what this machine allows: a server on a bare socket, without a library's threads,
// that does no more than the floor's definition asks for. It opens, decodes, checks that the total does not fall, stores in
// SQLite (WAL, FULL) with one commit for whatever one read of the socket brought, then confirms each reading, and only then
// acknowledges the messages.
//
//   socket_server PORT METERS LEDGER          (METERS: a line "ID KEY" each); until SIGTERM
#include "shared/reading_codec.hpp"
#include "tests/bench/bench_meters.hpp"
#include "tests/bench/mqtt_socket.hpp"

#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/core.h>

#include <cstdio>
#include <exception>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace pulsemeter::bench {
namespace {

struct Served {
    BenchMeter meter;
    std::uint64_t total = 0;
};

struct Confirmed {
    Served* served;
    Confirmation confirmation;
};

class SocketServer {
public:
    SocketServer(std::uint16_t port, const std::string& meters, const std::string& ledger)
        : socket_(port, "socket-server"), database_(ledger, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE)
    {
        database_.exec(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
            "CREATE TABLE reading (meter TEXT, epoch INT, sequence INT, total INT, measured INT, uptime INT, "
            "power INT, PRIMARY KEY (meter, epoch, sequence)) WITHOUT ROWID");
        insert_.emplace(database_, "INSERT OR IGNORE INTO reading VALUES (?, ?, ?, ?, ?, ?, ?)");
        std::vector<std::string> topics;
        for (BenchMeter& meter : read_meters(meters)) {
            topics.push_back(meter.keys.up_topic);
            served_.insert_or_assign(topics.back(), Served{std::move(meter)});
        }
        socket_.subscribe(topics);
    }

    void turn()
    {
        socket_.turn([this](std::string_view topic, std::string_view payload) { take(topic, payload); },
                     [this] { commit_and_confirm(); });
    }

private:
    void take(std::string_view topic, std::string_view payload)
    {
        Served& served = served_.find(topic)->second;
        const auto opened = served.meter.up.open(payload);
        if (!opened)
            return;
        const auto message = decode_up(served.meter.id, opened->plaintext);
        const Reading* reading = message ? std::get_if<Reading>(&*message) : nullptr;
        if (reading == nullptr || reading->total.value < served.total)
            return;
        served.total = reading->total.value;
        if (!transaction_)
            transaction_.emplace(database_);
        store(served.meter.id, *reading);
        confirmed_.push_back({&served, {reading->epoch, reading->sequence, reading->sequence}});
    }

    void store(const MeterId& meter, const Reading& reading)
    {
        const auto number = [](std::uint64_t value) { return static_cast<std::int64_t>(value); };
        insert_->reset();
        insert_->bind(1, meter.text());
        insert_->bind(2, reading.epoch.value);
        insert_->bind(3, number(reading.sequence.value));
        insert_->bind(4, number(reading.total.value));
        insert_->bind(5, std::int64_t{reading.measured_at.time_since_epoch().count()});
        insert_->bind(6, std::int64_t{reading.uptime.count()});
        insert_->bind(7, reading.power ? std::int64_t{reading.power->value} : 0);
        insert_->exec();
    }

    void commit_and_confirm()
    {
        if (!transaction_)
            return;
        insert_->reset();
        transaction_->commit();
        transaction_.reset();
        for (const auto& [served, confirmation] : confirmed_) {
            BenchMeter& meter = served->meter;
            const auto token = meter.down.seal(encode(meter.id, DownMessage{confirmation}), unix_seconds(),
                                               crypto::random_iv());
            socket_.queue(publish_packet(meter.keys.down_topic, token, next_id_));
            next_id_ = next_id_ == 65'000 ? 1 : next_id_ + 1;
        }
        confirmed_.clear();
    }

    MqttSocket socket_;
    SQLite::Database database_;
    std::optional<SQLite::Statement> insert_;
    std::optional<SQLite::Transaction> transaction_;
    std::map<std::string, Served, std::less<>> served_; // by up topic
    std::vector<Confirmed> confirmed_;                  // as soon as the transaction is committed
    std::uint16_t next_id_ = 1;
};

} // namespace
} // namespace pulsemeter::bench

int main(int argc, char** argv)
{
    try {
        if (argc != 4)
            throw std::runtime_error("usage: socket_server PORT METERS LEDGER");
        pulsemeter::bench::SocketServer server(static_cast<std::uint16_t>(std::stoul(argv[1])), argv[2],
                                               argv[3]);
        fmt::print("ready\n");
        (void)std::fflush(stdout);
        while (true)
            server.turn();
    } catch (const std::exception& error) {
        fmt::print(stderr, "socket_server: {}\n", error.what());
        return 1;
    }
}
