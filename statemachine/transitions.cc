// The only file that includes Boost.MSM. MSM holds the rows that move a phase and nothing else: no
// guards, no entry or exit actions, no queue, no deferral. The one action counts, because MSM also
// answers "handled" for events that it swallows.
#define BOOST_MPL_CFG_NO_PREPROCESSED_HEADERS
#define BOOST_MPL_LIMIT_VECTOR_SIZE 50
#define BOOST_MPL_LIMIT_MAP_SIZE 50
#define BOOST_MPL_LIMIT_LIST_SIZE 50
#define FUSION_MAX_VECTOR_SIZE 50

#include "statemachine/transitions.h"

#include "base/assert.h"
#include "statemachine/staying_facts.h"

#include <array>

#include <boost/mpl/for_each.hpp>
#include <boost/mpl/vector.hpp>
#include <boost/msm/back/state_machine.hpp>
#include <boost/msm/front/functor_row.hpp>
#include <boost/msm/front/state_machine_def.hpp>
#include <boost/serialization/base_object.hpp>

namespace drover::statemachine {
namespace {

namespace msm = boost::msm;
namespace mpl = boost::mpl;

template <Phase P>
struct In : msm::front::state<> {
    static constexpr Phase phase = P;
};

template <EventKind K>
struct Fact {
    static constexpr EventKind kind = K;
};

struct CountApplied {
    template <class Event, class Machine, class From, class To>
    void operator()(const Event&, Machine& machine, From&, To&) {
        ++machine.applied;
    }
};

enum class Way : bool { back_is_open = false, point_of_no_return = true };

template <Phase From, EventKind Event, Phase To, Way W = Way::back_is_open>
struct Move : msm::front::Row<In<From>, Fact<Event>, In<To>, CountApplied, msm::front::none> {
    static constexpr TransitionRow row{From, Event, To, W == Way::point_of_no_return};
};

using E = EventKind;
using P = Phase;

struct LifeCycleFront : msm::front::state_machine_def<LifeCycleFront> {
    using no_exception_thrown = int;
    using no_message_queue = int;
    using initial_state = In<P::planned>;

    unsigned applied = 0;

    // clang-format off
    struct transition_table : mpl::vector<
        Move<P::planned,           E::preflight_passed,  P::ready>,
        Move<P::planned,           E::preflight_failed,  P::blocked>,
        Move<P::blocked,           E::preflight_passed,  P::ready>,
        Move<P::ready,             E::preflight_failed,  P::blocked>,
        Move<P::ready,             E::mirror_started,    P::mirroring>,
        Move<P::mirroring,         E::mirror_completed,  P::syncing>,
        Move<P::syncing,           E::test_started,      P::testing>,
        Move<P::testing,           E::test_reverted,     P::syncing>,
        Move<P::syncing,           E::cutover_armed,     P::armed>,
        Move<P::armed,             E::disarmed,          P::syncing>,
        Move<P::armed,             E::cutover_started,   P::fencing>,
        Move<P::fencing,           E::source_fenced,     P::draining>,
        Move<P::fencing,           E::fence_refused,     P::armed>,
        Move<P::draining,          E::delta_drained,     P::verifying>,
        Move<P::verifying,         E::mismatch_found,    P::draining>,
        Move<P::verifying,         E::target_verified,   P::activating, Way::point_of_no_return>,
        Move<P::activating,        E::target_activated,  P::validating>,
        Move<P::validating,        E::target_validated,  P::holding>,
        Move<P::validating,        E::validation_waived, P::holding>,
        Move<P::holding,           E::committed,         P::committed, Way::point_of_no_return>,
        Move<P::fencing,           E::rollback_started,  P::rolling_back>,
        Move<P::draining,          E::rollback_started,  P::rolling_back>,
        Move<P::verifying,         E::rollback_started,  P::rolling_back>,
        Move<P::activating,        E::rollback_started,  P::rolling_back>,
        Move<P::validating,        E::rollback_started,  P::rolling_back>,
        Move<P::holding,           E::rollback_started,  P::rolling_back>,
        Move<P::rolling_back,      E::source_released,   P::rolled_back>,
        Move<P::rolling_back,      E::target_fenced,     P::reverse_draining>,
        Move<P::reverse_draining,  E::reverse_drained,   P::reverse_verifying>,
        Move<P::reverse_verifying, E::reverse_verified,  P::rolling_back>,
        Move<P::reverse_draining,  E::reverse_abandoned, P::rolling_back, Way::point_of_no_return>,
        Move<P::reverse_verifying, E::reverse_abandoned, P::rolling_back, Way::point_of_no_return>,
        Move<P::rolled_back,       E::resync_started,    P::syncing, Way::point_of_no_return>,
        Move<P::planned,           E::cancelled,         P::cancelled>,
        Move<P::blocked,           E::cancelled,         P::cancelled>,
        Move<P::ready,             E::cancelled,         P::cancelled>,
        Move<P::mirroring,         E::cancelled,         P::cancelled>,
        Move<P::syncing,           E::cancelled,         P::cancelled>,
        Move<P::testing,           E::cancelled,         P::cancelled>,
        Move<P::armed,             E::cancelled,         P::cancelled>,
        Move<P::rolled_back,       E::cancelled,         P::cancelled>
    > {};

    // clang-format on

    template <class Machine, class Event>
    void no_transition(const Event&, Machine&, int) {}
};

using LifeCycle = msm::back::state_machine<LifeCycleFront>;

/// Puts a machine into a state without running anything, through its serialize(): of all members
/// that it is shown, only the array of current states (one region) is set.
class StateSetter {
  public:
    explicit StateSetter(int state)
        : state_(state) {}

    StateSetter& operator&(int (&states)[1]) {
        states[0] = state_;
        return *this;
    }

    template <class Other>
    StateSetter& operator&(Other&) {
        return *this;
    }

  private:
    int state_;
};

template <Phase P>
constexpr int state_id() {
    return msm::back::get_state_id<LifeCycle::stt, In<P>>::type::value;
}

/// MSM numbers its states by first appearance in the table; ours are stored and fixed.
template <std::size_t... I>
constexpr std::array<int, phase_count> state_ids(std::index_sequence<I...>) {
    return {state_id<static_cast<Phase>(I)>()...};
}

constexpr auto state_of_phase = state_ids(std::make_index_sequence<phase_count>{});

Phase phase_of_state(int state) {
    for (std::size_t i = 0; i < state_of_phase.size(); ++i) {
        if (state_of_phase[i] == state) return static_cast<Phase>(i);
    }
    DROVER_UNREACHABLE();
}

template <EventKind K>
std::optional<Phase> step(Phase from) {
    LifeCycle machine;
    StateSetter setter(state_of_phase.at(static_cast<std::size_t>(from)));
    machine.serialize(setter, 0);
    const auto handled = machine.process_event(Fact<K>{});
    if (handled != msm::back::HANDLED_TRUE || machine.applied != 1) return std::nullopt;
    return phase_of_state(machine.current_state()[0]);
}

using Step = std::optional<Phase> (*)(Phase);

template <std::size_t... I>
constexpr std::array<Step, event_kind_count> steps(std::index_sequence<I...>) {
    return {&step<static_cast<EventKind>(I + 1)>...};
}

constexpr auto step_of_kind = steps(std::make_index_sequence<event_kind_count>{});

using Table = std::array<std::array<std::optional<Phase>, event_kind_count + 1>, phase_count>;

Table make_table() {
    Table table{};
    for (std::uint8_t p = 0; p < phase_count; ++p) {
        for (std::uint16_t k = 1; k <= event_kind_count; ++k) {
            const auto phase = static_cast<Phase>(p);
            const auto kind = static_cast<EventKind>(k);
            const auto moved = moved_phase(phase, kind);
            const auto ended = ended_phase(phase, kind);
            const bool stays = stays_in(phase, kind);
            DROVER_ASSERT(int{moved.has_value()} + int{ended.has_value()} + int{stays} <= 1);
            table[p][k] = stays ? std::optional(phase) : moved ? moved : ended;
        }
    }
    return table;
}

struct CollectRows {
    std::vector<TransitionRow>& rows;

    template <class Row>
    void operator()(const msm::wrap<Row>&) {
        rows.push_back(Row::row);
    }
};

}  // namespace

std::optional<Phase> moved_phase(Phase from, EventKind event) {
    return step_of_kind.at(static_cast<std::size_t>(event) - 1)(from);
}

std::optional<Phase> next_phase(Phase from, EventKind event) {
    static const Table table = make_table();
    return table.at(static_cast<std::size_t>(from)).at(static_cast<std::size_t>(event));
}

const std::vector<TransitionRow>& transition_rows() {
    static const std::vector<TransitionRow> rows = [] {
        std::vector<TransitionRow> out;
        mpl::for_each<LifeCycleFront::transition_table, msm::wrap<mpl::placeholders::_1>>(
            CollectRows{out});
        return out;
    }();
    return rows;
}

}  // namespace drover::statemachine
