/// One group commit in the making: scratch copies of what its commands touch, the events to append,
/// and the answers to give once they are durable. Private to the engine.
#pragma once

#include "orchestrator/engine.h"

#include <map>
#include <utility>
#include <vector>

namespace drover::orchestrator {

struct Engine::Batch {
    WallMicros now = 0;
    WallMicros record_wall = 0;  ///< what the log will store: time never goes back there
    bool volume_full = false;
    eventlog::Seq next_seq = 0;

    std::map<JobId, statemachine::Job> jobs;
    std::map<std::string, JobId> names;  ///< planned in this batch
    std::vector<SystemFact> registry_facts;
    /// Scratch with these facts applied; only made for a wish to which they may matter, because a
    /// registry knows every agent.
    std::optional<Registry> registry;

    std::map<eventlog::StreamId, eventlog::StreamSeq> positions;
    std::vector<eventlog::Append> appends;
    std::size_t events = 0;

    std::map<Uuid, std::pair<Hash, Answer>> answered;
    std::vector<std::pair<Completion, Result<Answer>>> outcomes;

    /// Adds `events` of one command to the append and completes `answer` with their place. The
    /// answer is kept for retries unless `digest` is zero.
    void append(const eventlog::EventLog& log, const eventlog::StreamId& stream,
                std::vector<eventlog::NewEvent> new_events, const Uuid& command_id,
                const Hash& digest, Answer& answer) {
        const auto [position, is_new] = positions.try_emplace(stream, 0);
        if (is_new) position->second = log.stream_head(stream).seq;
        answer.first_seq = next_seq;
        answer.event_count = static_cast<std::uint32_t>(new_events.size());
        next_seq += new_events.size();
        events += new_events.size();

        eventlog::Append append;
        append.stream = stream;
        append.expected_stream_seq = position->second;
        position->second += answer.event_count;
        append.events = std::move(new_events);
        if (!digest.is_zero()) {
            append.answer = eventlog::CommandAnswer{command_id, digest, encode_answer(answer)};
            answered[command_id] = {digest, answer};
        }
        appends.push_back(std::move(append));
    }

    /// The state that the events just added lead to; no part of any answer.
    void append_digest(const eventlog::EventLog& log, const StateDigest& state,
                       const Uuid& command_id) {
        eventlog::NewEvent event = new_event(state);
        event.command_id = command_id;
        event.actor = "system";
        event.cause = next_seq - 1;
        Answer of_nobody;
        append(log, stream_of(state), {std::move(event)}, command_id, Hash{}, of_nobody);
    }
};

}  // namespace drover::orchestrator
