#include "shared/reading_codec.hpp"
#include "tests/sim/machines.hpp"

namespace pulsemeter::sim {

using namespace std::chrono_literals;

class ServerMachine::WitnessedLedger : public SqliteLedger {
public:
    explicit WitnessedLedger(ServerMachine& machine)
        : SqliteLedger(machine.folder_ / "ledger.sqlite", LedgerAccess::write), machine_(machine)
    {
    }

    std::vector<Appended> append(std::span<const IncomingReading> readings, WallTime received_at) override
    {
        machine_.before_commit();
        std::vector<Appended> outcomes;
        try {
            outcomes = SqliteLedger::append(readings, received_at);
        } catch (const std::exception&) {
            machine_.witness_.append_failed(readings);
            throw;
        }
        machine_.witness_.appended(readings, outcomes);
        machine_.after_commit();
        return outcomes;
    }

private:
    ServerMachine& machine_;
};

ServerMachine::ServerMachine(const std::filesystem::path& folder, Clocks& clocks, Broker& broker,
                             Witness& witness, std::vector<ServedMeter> meters, std::uint64_t seed)
    : Machine(folder, clocks, seed), broker_(broker), witness_(witness), meters_(std::move(meters))
{
    for (const ServedMeter& meter : meters_) {
        const auto& keys = std::get<crypto::MeterKeys>(meter.wire);
        readers_.emplace(keys.down_topic, std::pair(meter.id, crypto::Fernet(keys.down)));
    }
    { // meter-server init
        const SqliteLedger made(folder_ / "ledger.sqlite", LedgerAccess::create);
    }
    disk_.cut_now(PowerLoss::kept);
    disk_.restart(seed);
}

ServerMachine::~ServerMachine()
{
    ServerMachine::stop_program();
}

SqliteLedger& ServerMachine::ledger()
{
    return *ledger_;
}

void ServerMachine::start()
{
    try {
        ledger_ = std::make_unique<WitnessedLedger>(*this);
        witness_.ledger_opened(*ledger_);
        if (const auto change = ledger_->find_change())
            throw Violation{"a sound ledger is taken for a damaged one: " + *change};
    } catch (const std::exception& failure) {
        stop_program();
        if (!is_cut() && !disk_.has_failed())
            throw Violation{std::string("the server does not start: ") + failure.what()};
        due = clocks_.now + 2s;
        return;
    }
    bus_ = std::make_unique<Bus>(broker_, [this](const Parcel& parcel) { return publishing(parcel); });
    server_ =
        std::make_unique<Server>(Server::Parts{.bus = *bus_,
                                               .ledger = *ledger_,
                                               .tariff = tariff_,
                                               .meter_changes =
                                                   [meters = meters_]() mutable {
                                                       return MeterChanges{{}, std::exchange(meters, {})};
                                                   },
                                               .print = [](const std::string& /*lines*/) {},
                                               .most = most},
                                 "the world's broker", dice_.next());
    sealer_ = std::make_unique<DaySealer>(*ledger_, audit_key_);
    due = clocks_.now;
}

void ServerMachine::stop_program()
{
    sealer_.reset();
    server_.reset();
    bus_.reset();
    ledger_.reset();
}

void ServerMachine::turn()
{
    due = server_->turn(clocks_.now, wall());
    due = std::min(due, sealer_->turn(clocks_.now, wall()));
}

void ServerMachine::check_audit()
{
    for (const SqliteLedger::Unsealed& what : ledger_->unsealed(wall() + 24h))
        ledger_->seal(what, audit_key_);
    if (const auto fault = ledger_->verify(audit_key_).fault)
        throw Violation{"the audit finds: " + *fault};
}

bool ServerMachine::is_within_bounds() const
{
    if (!is_running())
        return true;
    const auto now = server_->queues();
    return now.waiting <= most.waiting && now.outgoing <= most.outgoing;
}

void ServerMachine::resolve(const HeldReading& held, Verdict verdict)
{
    const bool accept = verdict == Verdict::accept || (verdict == Verdict::either && dice_.one_in(2));
    const HeldKey place{held.meter, held.reading.epoch, held.reading.sequence};
    try {
        if (accept && ledger_->accept(place, wall()))
            witness_.resolved(held, Standing::accepted_by_operator);
        else if (ledger_->discard(place, wall()))
            witness_.resolved(held, Standing::discarded);
    } catch (const std::exception&) {
        witness_.perhaps_resolved(held);
    }
}

bool ServerMachine::publishing(const Parcel& parcel)
{
    if (is_cut())
        return false;
    const auto found = readers_.find(parcel.topic);
    if (found == readers_.end())
        throw Violation{"the server publishes under " + parcel.topic};
    auto& [meter, reader] = found->second;
    const auto opened = reader.open(parcel.payload);
    const auto message =
        opened ? decode_down(meter, opened->plaintext) : tl::unexpected(CodecError::wrong_size);
    if (!message)
        throw Violation{"the server publishes what nobody can open"};
    witness_.told(meter, *message);
    return true;
}

} // namespace pulsemeter::sim
