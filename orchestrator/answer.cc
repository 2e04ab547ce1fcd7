#include "orchestrator/answer.h"

#include "history/flat_fields.h"

namespace drover::orchestrator {

Bytes encode_answer(const Answer& answer) {
    const statemachine::Rejected rejected = answer.rejected.value_or(statemachine::Rejected{});
    history::FieldWriter out;
    out.bytes(answer.job.view()).number(answer.first_seq).number(answer.event_count);
    out.number(answer.rejected ? 1 : 0);
    out.text(rejected.id).text(rejected.detail).text(rejected.next);
    return out.take();
}

Result<Answer> decode_answer(ByteView bytes) {
    history::FieldReader in(bytes);
    Answer answer;
    answer.job = in.fixed<JobId>();
    answer.first_seq = in.number();
    answer.event_count = static_cast<std::uint32_t>(in.number());
    const bool is_rejected = in.number() == 1;
    statemachine::Rejected rejected;
    rejected.id = in.text();
    rejected.detail = in.text();
    rejected.next = in.text();
    if (!in.done())
        return Error(Errc::corrupt, "answer_unreadable", "a recorded answer is damaged");
    if (is_rejected) answer.rejected = std::move(rejected);
    return answer;
}

}  // namespace drover::orchestrator
