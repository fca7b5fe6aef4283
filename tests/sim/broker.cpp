#include "tests/sim/broker.hpp"

#include <utility>

namespace pulsemeter::sim {

void Broker::take_in(const Parcel& parcel, Retain retain)
{
    if (retain == Retain::yes)
        retained[parcel.topic] = parcel.payload;
    on_the_way.push_back(parcel);
    if (on_the_way.size() > most_on_the_way)
        on_the_way.pop_front();
    ++published_;
    if (seen.size() < most_seen)
        seen.push_back(parcel);
    else if (const std::uint64_t place = dice_.between(0, published_ - 1); place < most_seen)
        seen[place] = parcel;
}

void Broker::deliver(const Parcel& parcel)
{
    for (Bus* bus : buses_)
        if (bus->connected_ && bus->topics_.contains(parcel.topic))
            bus->events_.emplace_back(Received{parcel.topic, parcel.payload, 1, false});
}

void Broker::deliver_all()
{
    for (const Parcel& parcel : std::exchange(on_the_way, {}))
        deliver(parcel);
}

void Broker::disconnect(Bus& bus)
{
    if (std::exchange(bus.connected_, false))
        bus.events_.emplace_back(Disconnected{"the world has cut the connection"});
    bus.retry_at_.reset();
}

void Broker::disconnect_all()
{
    for (Bus* bus : buses_)
        disconnect(*bus);
}

void Broker::forget()
{
    on_the_way.clear();
    retained.clear();
    disconnect_all();
}

Bus::Bus(Broker& broker, std::function<bool(const Parcel&)> publishing)
    : broker_(broker), publishing_(std::move(publishing))
{
    broker_.buses_.insert(this);
}

Bus::~Bus()
{
    broker_.buses_.erase(this);
}

bool Bus::publish(const std::string& topic, std::string_view payload, Retain retain)
{
    const Parcel parcel{topic, std::string(payload)};
    if (!connected_ || !publishing_(parcel))
        return false;
    broker_.take_in(parcel, retain);
    return true;
}

std::vector<BusEvent> Bus::take()
{
    return std::exchange(events_, {});
}

SteadyTime Bus::tick(SteadyTime now)
{
    if (connected_)
        return SteadyTime::max();
    if (!retry_at_)
        retry_at_ = now + std::chrono::milliseconds(broker_.dice_.between(0, 3'000));
    if (now < *retry_at_)
        return *retry_at_;
    retry_at_.reset();
    if (!broker_.is_up)
        return now + std::chrono::seconds(2);
    connected_ = true;
    events_.emplace_back(Connected{});
    for (const auto& [topic, payload] : broker_.retained)
        if (topics_.contains(topic))
            events_.emplace_back(Received{topic, payload, 1, true});
    return SteadyTime::max();
}

} // namespace pulsemeter::sim
