/// The network between simulated machines: ordered streams (TLS connections), as a socket's user
/// sees them. Latency and bandwidth delay, a partition holds what is on its way (and ends the
/// stream at whichever end hears nothing for too long), a reset loses it, a slow reader fills the
/// window.
#pragma once

#include "agent/replicas.h"
#include "schemas/session.h"
#include "simulations/environment.h"

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace drover::sim {

/// What one end sends at once. Messages of a session travel as values: their bytes are the codec's
/// tests' business.
using Parcel = std::variant<Bytes, AgentMessage, OrchestratorMessage>;

enum class End : std::uint8_t { dialler = 0, listener = 1 };

[[nodiscard]] constexpr End other(End end) {
    return end == End::dialler ? End::listener : End::dialler;
}

class Network;

class Stream : public std::enable_shared_from_this<Stream> {
  public:
    struct Party {
        std::string machine;
        ProcessId process = no_process;
        std::string identity;  ///< by its certificate
    };

    Stream(Network& network, Party dialler, Party listener);

    /// Never blocks. Dropped when the stream has ended.
    void send(End from, Parcel parcel, std::size_t bytes);
    /// Bytes sent by `from` that the other end has not taken.
    [[nodiscard]] std::size_t unread(End from) const;
    [[nodiscard]] bool has_arrived(End at) const;
    [[nodiscard]] std::optional<Parcel> take(End at);
    /// Nothing more will arrive here.
    [[nodiscard]] bool has_ended(End at) const;
    /// This end is done. The other learns it after what was sent before.
    void close(End by);
    /// What is on its way is lost; both ends learn it.
    void reset();
    /// Blocks the running fiber until something happens at this end. False: the deadline came
    /// first.
    bool wait(End at, Micros deadline);
    /// Called, outside of any fiber, whenever something arrives at this end or it ends.
    void on_event(End at, std::function<void()> call);

    [[nodiscard]] const Party& party(End end) const { return parties_.at(index(end)); }

  private:
    friend class Network;

    struct Item {
        std::optional<Parcel> parcel;  ///< empty: the end of the stream
        std::size_t bytes = 0;
    };

    /// What one end sends to the other.
    struct Lane {
        std::vector<Item> held;  ///< behind a partition
        std::vector<Item> arrived;
        std::size_t taken = 0;  ///< of `arrived`
        std::size_t unread = 0;
        Micros last_arrival = 0;
        bool ended = false;      ///< the receiving end knows
        std::uint64_t life = 0;  ///< raised by reset(): what is on its way belongs to an older one
    };

    [[nodiscard]] static std::size_t index(End end) { return static_cast<std::size_t>(end); }

    void travel(End from, Item item);
    void arrive(End from, Item item);
    void end_here(End at);
    void wake_waiting(End at);
    void notify(End at);
    void heal(End from);

    Network& network_;
    std::array<Party, 2> parties_;
    std::array<Lane, 2> lanes_;  ///< by the sending end
    std::array<bool, 2> closed_ = {false, false};
    bool duplicate_next_ = false;
    std::array<std::vector<Scheduler::Waiter>, 2> waiting_;
    std::array<std::function<void()>, 2> events_;
};

struct Weather {
    Micros latency_min = 200;
    Micros latency_max = 2'000;
    std::uint64_t bytes_per_s = 100'000'000;
    std::size_t window_bytes = 256U << 10;
    /// Silence after which an end gives a stream up.
    Micros silence_max = 15'000'000;
    std::uint64_t reset_one_in = 0;  ///< per parcel; 0: never
};

class Network {
  public:
    Network(Weather weather, Dice dice);

    /// Who answers at a machine's port. `accept` runs outside of any fiber.
    using Accept = std::function<void(std::shared_ptr<Stream>)>;
    void listen(const std::string& machine, std::uint16_t port, Stream::Party as, Accept accept);
    void stop_listening(const std::string& machine, std::uint16_t port);

    /// Blocks for the handshake. Errors: unavailable (nobody answers).
    [[nodiscard]] Result<std::shared_ptr<Stream>> dial(const Stream::Party& from,
                                                       const std::string& machine,
                                                       std::uint16_t port);

    /// Nothing passes from one machine to the other; the way back is another matter.
    void cut(const std::string& from, const std::string& to);
    void heal(const std::string& from, const std::string& to);
    void heal_all();
    [[nodiscard]] bool is_cut(const std::string& from, const std::string& to) const;

    /// Who dials `name` from `machine` reaches `instead` from now on; empty: again the real one.
    void redirect(const std::string& machine, const std::string& name, const std::string& instead);

    /// Its sockets are closed by its machine.
    void process_died(ProcessId process);
    /// The machine lost power: nobody closes anything, the other ends hear nothing any more.
    void machine_died(const std::string& machine);
    /// What passes between the two, either way, is slowed to so many bytes a second; 0: no more.
    void slow(const std::string& one, const std::string& two, std::uint64_t bytes_per_s);
    /// The next parcel of every session between the two arrives twice.
    void duplicate_between(const std::string& one, const std::string& two);
    /// Resets every stream between the two.
    void reset_between(const std::string& one, const std::string& two);

    [[nodiscard]] const Weather& weather() const { return weather_; }

    [[nodiscard]] Dice& dice() { return dice_; }

    /// Parcels delivered so far.
    std::uint64_t delivered = 0;
    std::uint64_t resets = 0;
    /// Messages of sessions sent so far, and which one is lost with its connection; 0: none.
    std::uint64_t session_messages = 0;
    std::uint64_t lose_session_message = 0;

  private:
    friend class Stream;

    struct Listener {
        Stream::Party as;
        Accept accept;
    };

    using Known = std::vector<std::weak_ptr<Stream>>;

    void remember(const std::shared_ptr<Stream>& stream);
    [[nodiscard]] std::uint64_t speed(const std::string& from, const std::string& to) const;
    void give_up_later(const std::string& from, const std::string& to);

    Weather weather_;
    Dice dice_;
    std::map<std::pair<std::string, std::uint16_t>, Listener> listeners_;
    std::set<std::pair<std::string, std::string>> cuts_;
    std::map<std::pair<std::string, std::string>, std::string> redirects_;
    std::map<std::pair<std::string, std::string>, std::uint64_t> slowed_;
    std::map<std::string, Known> streams_;                  ///< by machine
    std::unordered_map<ProcessId, Known> process_streams_;  ///< by process, never walked
};

/// A frame pipe of the replicator over a stream. Steps: "link.sent", "link.received".
[[nodiscard]] std::unique_ptr<wire::Link> make_link(std::shared_ptr<Stream> stream, End end);

}  // namespace drover::sim
