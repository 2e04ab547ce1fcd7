#include "simulations/network.h"

#include <algorithm>

namespace drover::sim {
namespace {

constexpr std::size_t parcel_overhead_bytes = 64;
/// A dial that nobody answers gives up after this.
constexpr Micros dial_time_max = 5'000'000;

}  // namespace

// ---- streams ----

Stream::Stream(Network& network, Party dialler, Party listener)
    : network_(network),
      parties_{std::move(dialler), std::move(listener)} {}

void Stream::send(End from, Parcel parcel, std::size_t bytes) {
    if (closed_[index(from)] || lanes_[index(other(from))].ended) return;
    const bool of_session = !std::holds_alternative<Bytes>(parcel);
    if ((of_session && ++network_.session_messages == network_.lose_session_message) ||
        network_.dice_.one_in(network_.weather_.reset_one_in)) {
        ++network_.resets;
        return reset();
    }
    lanes_[index(from)].unread += bytes;
    if (std::exchange(duplicate_next_, false)) {
        lanes_[index(from)].unread += bytes;
        travel(from, {parcel, bytes});
    }
    travel(from, {std::move(parcel), bytes});
}

void Stream::travel(End from, Item item) {
    Lane& lane = lanes_[index(from)];
    if (network_.is_cut(party(from).machine, party(other(from)).machine)) {
        lane.held.push_back(std::move(item));
        return;
    }
    const Weather& weather = network_.weather_;
    const Micros latency = network_.dice_.between(weather.latency_min, weather.latency_max);
    const auto size =
        static_cast<Micros>((item.bytes + parcel_overhead_bytes) * 1'000'000 /
                            network_.speed(party(from).machine, party(other(from)).machine));
    Scheduler& scheduler = Scheduler::current();
    lane.last_arrival = std::max(lane.last_arrival, scheduler.now() + latency) + size;
    scheduler.at(lane.last_arrival, [self = shared_from_this(), from, life = lane.life,
                                     moved = std::make_shared<Item>(std::move(item))] {
        Lane& at_arrival = self->lanes_[index(from)];
        if (at_arrival.life != life) return;
        // A partition that came meanwhile holds it; what is held keeps its order.
        if (!at_arrival.held.empty() ||
            self->network_.is_cut(self->party(from).machine, self->party(other(from)).machine))
            at_arrival.held.push_back(std::move(*moved));
        else
            self->arrive(from, std::move(*moved));
    });
}

void Stream::arrive(End from, Item item) {
    Lane& lane = lanes_[index(from)];
    if (lane.ended) return;
    ++network_.delivered;
    if (!item.parcel) return end_here(other(from));
    lane.arrived.push_back(std::move(item));
    wake_waiting(other(from));
    // Nobody who runs has caused it, so nobody is disturbed by what follows from it.
    const auto event = events_[index(other(from))];
    if (event) event();
}

void Stream::heal(End from) {
    for (Item& item : std::exchange(lanes_[index(from)].held, {})) travel(from, std::move(item));
}

std::size_t Stream::unread(End from) const {
    return lanes_[index(from)].unread;
}

bool Stream::has_arrived(End at) const {
    const Lane& lane = lanes_[index(other(at))];
    return lane.taken < lane.arrived.size();
}

std::optional<Parcel> Stream::take(End at) {
    Lane& lane = lanes_[index(other(at))];
    if (!has_arrived(at)) return std::nullopt;
    Item item = std::move(lane.arrived[lane.taken++]);
    if (lane.taken == lane.arrived.size()) {
        lane.arrived.clear();
        lane.taken = 0;
    }
    lane.unread -= item.bytes;
    // The window is open again; only a sender that waits for it wants to know.
    wake_waiting(other(at));
    return std::move(item.parcel);
}

bool Stream::has_ended(End at) const {
    const Lane& lane = lanes_[index(other(at))];
    return closed_[index(at)] || (lane.ended && !has_arrived(at));
}

void Stream::close(End by) {
    if (std::exchange(closed_[index(by)], true)) return;
    lanes_[index(other(by))].ended = true;
    travel(by, {std::nullopt, 0});
    notify(by);
}

void Stream::reset() {
    for (const End end : {End::dialler, End::listener}) {
        ++lanes_[index(end)].life;
        lanes_[index(end)].held.clear();
    }
    Scheduler::current().after(network_.weather_.latency_max, [self = shared_from_this()] {
        self->end_here(End::dialler);
        self->end_here(End::listener);
    });
}

/// This end learns that nothing more comes.
void Stream::end_here(End at) {
    Lane& lane = lanes_[index(other(at))];
    if (lane.ended) return;
    lane.ended = true;
    notify(at);
    // A sender that waits for the window has to learn it as well.
    notify(other(at));
}

void Stream::wake_waiting(End at) {
    for (const Scheduler::Waiter& waiter : std::exchange(waiting_[index(at)], {}))
        (void)Scheduler::current().wake(waiter);
}

void Stream::notify(End at) {
    wake_waiting(at);
    if (!events_[index(at)]) return;
    // The event stands alone: whoever caused it is not disturbed by what follows from it.
    Scheduler::current().after(0, [self = shared_from_this(), at] {
        if (self->events_[index(at)]) self->events_[index(at)]();
    });
}

bool Stream::wait(End at, Micros deadline) {
    waiting_[index(at)].push_back(Scheduler::current().next_wait());
    return Scheduler::current().wait(deadline);
}

void Stream::on_event(End at, std::function<void()> call) {
    events_[index(at)] = std::move(call);
}

// ---- the network ----

Network::Network(Weather weather, Dice dice)
    : weather_(weather),
      dice_(dice) {}

void Network::listen(const std::string& machine, std::uint16_t port, Stream::Party as,
                     Accept accept) {
    listeners_[{machine, port}] = {std::move(as), std::move(accept)};
}

void Network::stop_listening(const std::string& machine, std::uint16_t port) {
    listeners_.erase({machine, port});
}

bool Network::is_cut(const std::string& from, const std::string& to) const {
    return !cuts_.empty() && cuts_.contains({from, to});
}

void Network::redirect(const std::string& machine, const std::string& name,
                       const std::string& instead) {
    if (instead.empty())
        redirects_.erase({machine, name});
    else
        redirects_[{machine, name}] = instead;
}

Result<std::shared_ptr<Stream>> Network::dial(const Stream::Party& from, const std::string& name,
                                              std::uint16_t port) {
    const auto redirected = redirects_.find({from.machine, name});
    // A copy: the redirection may end while this waits.
    const std::string machine = redirected == redirects_.end() ? name : redirected->second;
    Scheduler& scheduler = Scheduler::current();
    const auto nobody = [&] {
        return Error(Errc::unavailable, "connect_failed",
                     machine + ":" + std::to_string(port) + " does not answer");
    };
    if (is_cut(from.machine, machine) || is_cut(machine, from.machine)) {
        scheduler.sleep(dial_time_max);
        return nobody();
    }
    scheduler.sleep(3 * dice_.between(weather_.latency_min, weather_.latency_max));
    const auto found = listeners_.find({machine, port});
    if (found == listeners_.end() || !scheduler.is_alive(found->second.as.process)) return nobody();
    auto stream = std::make_shared<Stream>(*this, from, found->second.as);
    remember(stream);
    scheduler.after(0, [accept = found->second.accept, stream] { accept(stream); });
    return stream;
}

void Network::remember(const std::shared_ptr<Stream>& stream) {
    const auto add = [&stream](Known& known) {
        if (known.size() >= 16 && std::has_single_bit(known.size()))
            std::erase_if(known, [](const auto& old) { return old.expired(); });
        known.push_back(stream);
    };
    for (const End end : {End::dialler, End::listener}) {
        add(streams_[stream->party(end).machine]);
        add(process_streams_[stream->party(end).process]);
    }
}

void Network::cut(const std::string& from, const std::string& to) {
    if (cuts_.emplace(from, to).second) give_up_later(from, to);
}

/// Whoever hears nothing for too long gives a stream up.
void Network::give_up_later(const std::string& from, const std::string& to) {
    for (const auto& weak : streams_[from]) {
        const auto stream = weak.lock();
        if (!stream) continue;
        for (const End end : {End::dialler, End::listener}) {
            if (stream->party(end).machine != from || stream->party(other(end)).machine != to)
                continue;
            Scheduler::current().after(weather_.silence_max, [this, weak, end, from, to] {
                const auto still = weak.lock();
                if (!still || !is_cut(from, to) || still->has_ended(other(end))) return;
                still->end_here(other(end));
                still->close(other(end));
            });
        }
    }
}

void Network::heal(const std::string& from, const std::string& to) {
    if (cuts_.erase({from, to}) == 0) return;
    for (const auto& weak : streams_[from])
        if (const auto stream = weak.lock())
            for (const End end : {End::dialler, End::listener})
                if (stream->party(end).machine == from && stream->party(other(end)).machine == to)
                    stream->heal(end);
}

void Network::heal_all() {
    for (const auto& [from, to] : std::set(cuts_)) heal(from, to);
}

void Network::process_died(ProcessId process) {
    std::erase_if(listeners_,
                  [&](const auto& entry) { return entry.second.as.process == process; });
    const auto known = process_streams_.extract(process);
    if (known.empty()) return;
    for (const auto& weak : known.mapped()) {
        const auto stream = weak.lock();
        if (!stream) continue;
        for (const End end : {End::dialler, End::listener}) {
            if (stream->party(end).process != process) continue;
            stream->on_event(end, nullptr);
            stream->close(end);
        }
    }
}

void Network::machine_died(const std::string& machine) {
    std::erase_if(listeners_, [&](const auto& entry) { return entry.first.first == machine; });
    for (const auto& weak : std::exchange(streams_[machine], {})) {
        const auto stream = weak.lock();
        if (!stream) continue;
        const End here =
            stream->party(End::dialler).machine == machine ? End::dialler : End::listener;
        stream->on_event(here, nullptr);
        stream->closed_[Stream::index(here)] = true;
        ++stream->lanes_[Stream::index(here)].life;
        Scheduler::current().after(weather_.silence_max, [weak, there = other(here)] {
            if (const auto still = weak.lock()) still->end_here(there);
        });
    }
}

std::uint64_t Network::speed(const std::string& from, const std::string& to) const {
    if (slowed_.empty()) return weather_.bytes_per_s;
    const auto slowed = slowed_.find({from, to});
    return slowed == slowed_.end() ? weather_.bytes_per_s : slowed->second;
}

void Network::slow(const std::string& one, const std::string& two, std::uint64_t bytes_per_s) {
    for (const auto& pair : {std::pair(one, two), std::pair(two, one)}) {
        if (bytes_per_s == 0)
            slowed_.erase(pair);
        else
            slowed_[pair] = bytes_per_s;
    }
}

void Network::duplicate_between(const std::string& one, const std::string& two) {
    for (const auto& weak : streams_[one]) {
        const auto stream = weak.lock();
        if (stream && (stream->party(End::dialler).machine == two ||
                       stream->party(End::listener).machine == two))
            stream->duplicate_next_ = true;
    }
}

void Network::reset_between(const std::string& one, const std::string& two) {
    for (const auto& weak : streams_[one]) {
        const auto stream = weak.lock();
        if (!stream) continue;
        const bool between = stream->party(End::dialler).machine == two ||
                             stream->party(End::listener).machine == two;
        if (!between) continue;
        ++resets;
        stream->reset();
    }
}

// ---- links ----

namespace {

Error aborted() {
    return Error(Errc::cancelled, "link_aborted", "the link was aborted");
}

Error gone() {
    return Error(Errc::unavailable, "link_closed", "the peer is gone");
}

class SimulatedLink final : public wire::Link {
  public:
    SimulatedLink(std::shared_ptr<Stream> stream, End end)
        : stream_(std::move(stream)),
          end_(end) {}

    ~SimulatedLink() override { stream_->close(end_); }

    Result<> send(ByteView head, ByteView body) override {
        // An empty window takes a frame of any size.
        const std::size_t window = window_bytes;
        while (!aborted_ && !stream_->has_ended(end_) && stream_->unread(end_) != 0 &&
               stream_->unread(end_) + head.size() + body.size() > window)
            (void)stream_->wait(end_, never);
        if (aborted_) return aborted();
        if (stream_->has_ended(end_)) return gone();
        Bytes frame(head.begin(), head.end());
        frame.insert(frame.end(), body.begin(), body.end());
        const std::size_t bytes = frame.size();
        stream_->send(end_, std::move(frame), bytes);
        Environment::current().step("link.sent");
        return {};
    }

    Result<Bytes> receive(std::int64_t timeout_ms) override {
        const Micros deadline = Scheduler::current().now() + timeout_ms * 1000;
        while (!aborted_ && !stream_->has_arrived(end_) && !stream_->has_ended(end_)) {
            if (stream_->wait(end_, deadline)) continue;
            if (Scheduler::current().now() >= deadline)
                return Error(Errc::timed_out, "link_timed_out", "no frame arrived in time");
        }
        if (aborted_) return aborted();
        auto parcel = stream_->take(end_);
        if (!parcel) return gone();
        Environment::current().step("link.received");
        return std::get<Bytes>(std::move(*parcel));
    }

    void abort() override {
        aborted_ = true;
        stream_->close(end_);
    }

    [[nodiscard]] const std::string& peer() const override {
        return stream_->party(other(end_)).identity;
    }

    static constexpr std::size_t window_bytes = 256U << 10;

  private:
    const std::shared_ptr<Stream> stream_;
    const End end_;
    bool aborted_ = false;
};

}  // namespace

std::unique_ptr<wire::Link> make_link(std::shared_ptr<Stream> stream, End end) {
    return std::make_unique<SimulatedLink>(std::move(stream), end);
}

}  // namespace drover::sim
