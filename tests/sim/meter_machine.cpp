#include "shared/crypto/meter_keys.hpp"
#include "shared/reading_codec.hpp"
#include "tests/sim/machines.hpp"

#include <algorithm>
#include <utility>

namespace pulsemeter::sim {

using namespace std::chrono_literals;

namespace {

constexpr MeterConstant constant{1000};

crypto::MeterKeys keys_of(const MeterId& id, std::uint64_t seed)
{
    Dice dice(seed);
    std::array<std::uint8_t, 32> bytes{};
    std::generate(bytes.begin(), bytes.end(), [&] { return static_cast<std::uint8_t>(dice.next()); });
    return crypto::derive(crypto::MasterKey(bytes), id);
}

template <typename Bytes>
Bytes random_bytes(Dice& dice)
{
    Bytes bytes{};
    std::generate(bytes.begin(), bytes.end(), [&] { return static_cast<std::uint8_t>(dice.next()); });
    return bytes;
}

} // namespace

class MeterMachine::Store : public SqliteMeterStore {
public:
    Store(MeterMachine& machine, std::size_t limit)
        : SqliteMeterStore(machine.folder_, StoreAccess::own, limit), machine_(machine)
    {
    }

    std::size_t commit(const StoreChange& change) override
    {
        machine_.before_commit();
        machine_.witness_.will_commit(machine_.id_, change);
        std::size_t thinned = 0;
        try {
            thinned = SqliteMeterStore::commit(change);
        } catch (const StoreError&) {
            machine_.witness_.commit_failed(machine_.id_, change);
            throw;
        }
        if (machine_.is_cut()) { // by what SQLite does after a commit: nobody hears that it was done
            machine_.witness_.commit_failed(machine_.id_, change);
            return thinned;
        }
        machine_.witness_.committed(machine_.id_, change);
        // The disk is asked each time while that is little to read, and else so rarely that a month takes seconds.
        if (thinned > 0 || ++commits_ % std::max<std::size_t>(machine_.plan_.outbox_limit / 1'000, 1) == 0) {
            machine_.witness_.check_outbox(machine_.id_, thinned, *this);
            if (outbox_size() > machine_.plan_.outbox_limit)
                throw Violation{machine_.id_.text() + ": the outbox outgrows its bounds"};
        }
        machine_.after_commit();
        return thinned;
    }
    std::vector<Reading> outbox(const ReadingKey& after, std::size_t most) override
    {
        auto rows = SqliteMeterStore::outbox(after, most);
        machine_.witness_.rows_read(machine_.id_, rows);
        return rows;
    }
    std::vector<Reading> held(const ReadingKey& after, std::size_t most) override
    {
        auto rows = SqliteMeterStore::held(after, most);
        machine_.witness_.rows_read(machine_.id_, rows);
        return rows;
    }
    // For the witness, who knows by itself which rows are to be there.
    [[nodiscard]] std::vector<Reading> all()
    {
        auto rows = SqliteMeterStore::outbox({}, 1'000'000);
        const auto held = SqliteMeterStore::held({}, 1'000'000);
        rows.insert(rows.end(), held.begin(), held.end());
        return rows;
    }

private:
    MeterMachine& machine_;
    std::size_t commits_ = 0;
};

MeterMachine::MeterMachine(const MeterId& id, const std::filesystem::path& folder, Clocks& clocks,
                           Broker& broker, Witness& witness, const Plan& plan, std::uint64_t seed)
    : Machine(folder, clocks, seed),
      id_(id),
      keys_(keys_of(id, seed)),
      reader_(keys_.up),
      broker_(broker),
      witness_(witness),
      plan_(plan)
{
    boot();
}

MeterMachine::~MeterMachine()
{
    MeterMachine::stop_program();
}

SqliteMeterStore& MeterMachine::store()
{
    return *store_;
}

void MeterMachine::boot()
{
    boot_ = random_bytes<BootId>(dice_);
    booted_at_ = clocks_.now;
}

void MeterMachine::start()
{
    try {
        store_ = std::make_unique<Store>(*this, plan_.outbox_limit);
        store_->claim(id_.text());
        witness_.store_opened(id_, {store_->all(), store_->load(Source::measured),
                                    store_->load(Source::simulated), plan_.outbox_limit});
        const bool was_measured = store_->load(Source::measured).has_value();
        source_ = has_sensor_ || was_measured ? Source::measured : Source::simulated;
        witness_.program_started(id_, source_);
        const StoredRegister stored =
            store_->load(source_).value_or(StoredRegister{.source = source_, .constant = constant});
        (void)store_->commit({.register_now = stored, .condition = "starting"});
        counter_.emplace(Detection::both_edges, Level::inactive, default_filter(constant, default_max_kw));
        edges_.clear();
        seqno_ = 1;
        bus_ = std::make_unique<Bus>(broker_, [this](const Parcel& parcel) { return publishing(parcel); });
        meter_ = std::make_unique<Meter>(id_, keys_, plan_.interval, stored,
                                         Meter::Parts{.tally = [this] { return tally(); },
                                                      .facts = [this] { return facts(); },
                                                      .store = *store_,
                                                      .bus = *bus_},
                                         random_bytes<Nonce>(dice_), dice_.next());
        due = clocks_.now;
    } catch (const StoreError&) {
        stop_program();
        due = clocks_.now + 2s;
    }
}

void MeterMachine::stop_program()
{
    meter_.reset();
    bus_.reset();
    store_.reset();
}

void MeterMachine::turn()
{
    published_in_turn_ = 0;
    due = meter_->turn(clocks_.now);
}

bool MeterMachine::is_within_bounds() const
{
    if (!is_running())
        return true;
    const auto now = meter_->queues();
    return now.in_flight <= Meter::most.in_flight && now.unsent <= Meter::most.unsent &&
           now.to_be_settled <= Meter::most.to_be_settled;
}

void MeterMachine::edge(Level level, std::chrono::nanoseconds after)
{
    line_time_ += after;
    edges_.push_back({line_time_, level, seqno_++});
}

void MeterMachine::flash(std::uint64_t pulses)
{
    const bool simulates = is_running() ? source_ == Source::simulated : !has_sensor_;
    if (!simulates || is_running()) // nobody simulates while the program is off
        witness_.pulses(id_, simulates ? Source::simulated : Source::measured, pulses);
    if (!is_running())
        return;
    for (std::uint64_t pulse = 0; pulse < pulses; ++pulse) {
        edge(Level::active, 40ms);
        if (plan_.line == Plan::Line::bouncing && dice_.one_in(3)) {
            edge(Level::inactive, 300us);
            edge(Level::active, 400us);
        }
        edge(Level::inactive, 30ms);
        if (plan_.line == Plan::Line::bouncing && dice_.one_in(5)) { // a glitch that is no pulse
            edge(Level::active, 20ms);
            edge(Level::inactive, 50us);
        }
    }
    // The kernel's buffer ran over: the oldest are gone, the next edge tells how many.
    if (plan_.line == Plan::Line::overflowing && edges_.size() > 4 && dice_.one_in(2))
        edges_.erase(edges_.begin(),
                     edges_.begin() + static_cast<std::ptrdiff_t>(dice_.index(edges_.size() - 1)));
    counter_->add(std::exchange(edges_, {}));
}

Tally MeterMachine::tally() const
{
    return {.pulses = counter_->pulses(), .quality = counter_->quality(), .was_fed = true};
}

ReadingFacts MeterMachine::facts() const
{
    ReadingFacts facts;
    facts.measured_at = wall();
    facts.clock = clock_;
    facts.boot = boot_;
    facts.uptime = std::chrono::duration_cast<Uptime>(clocks_.now - booted_at_);
    return facts;
}

bool MeterMachine::publishing(const Parcel& parcel)
{
    if (is_cut())
        return false;
    const auto opened = reader_.open(parcel.payload);
    if (parcel.topic != keys_.up_topic || !opened)
        throw Violation{id_.text() + " publishes what is no token of its own"};
    const auto message = decode_up(id_, opened->plaintext);
    if (!message)
        throw Violation{id_.text() + " publishes what nobody can decode"};
    if (const auto* reading = std::get_if<Reading>(&*message))
        witness_.published(id_, *reading);
    if (++published_in_turn_ > 4 * SendWindow::widest)
        throw Violation{id_.text() + " publishes without bounds"};
    return true;
}

std::optional<Reading> MeterMachine::say_falling_total()
{
    const auto stored = store_->load(source_);
    if (!stored || stored->epoch.value == 0 || stored->numbered.value == 0)
        return std::nullopt;
    const Reading reading{.epoch = stored->epoch,
                          .sequence = Sequence{stored->last.value + 1},
                          .total = Pulses{stored->numbered.value / 2},
                          .constant = stored->constant,
                          .start = stored->start,
                          .measured_at = wall(),
                          .source = source_};
    crypto::Fernet seal(keys_.up);
    broker_.take_in({keys_.up_topic, seal.seal(encode(id_, UpMessage{reading}), 1'700'000'000,
                                               random_bytes<crypto::Iv>(dice_))},
                    Retain::no);
    return reading;
}

void MeterMachine::lose_store()
{
    put_back({});
    witness_.store_lost(id_);
}

} // namespace pulsemeter::sim
