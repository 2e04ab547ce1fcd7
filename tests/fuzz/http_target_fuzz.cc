// Any method, target, headers and body, in front of the whole API over a log in memory: it answers
// once, with a known status, and never crashes.
#include "base/assert.h"
#include "eventlog/memory_log.h"
#include "orchestrator/api.h"

#include <algorithm>

namespace {

using namespace drover;
using namespace drover::orchestrator;

/// The fuzzer's bytes, cut into lines: method, target, one "name: value" header, then the body.
HttpRequest request_from(std::string_view text) {
    HttpRequest request;
    const auto line = [&text] {
        const std::size_t end = std::min(text.find('\n'), text.size());
        const std::string_view taken = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        return std::string(taken);
    };
    request.method = line();
    request.target = line();
    const std::string header = line();
    const std::size_t colon = header.find(": ");
    if (colon != std::string::npos)
        request.headers[header.substr(0, colon)] = header.substr(colon + 2);
    request.headers.emplace("authorization", "Bearer t");
    request.body = std::string(text);
    return request;
}

struct Server {
    eventlog::MemoryLog log{Uuid{{1}}};
    SeededRandom random{1};
    ManualClock clock;
    Enrolment enrolment{{}, "", "", Hash{}};
    std::unique_ptr<Core> core;
    std::unique_ptr<Api> api;

    Server() {
        const auto sign = [](ByteView) -> Result<Bytes> { return Bytes(64); };
        core = std::move(Core::start({log, random, sign, {}}, now())).value();
        api = std::make_unique<Api>(ApiParts{*core, clock, random, enrolment, token_hash("t"), {}});
    }

    [[nodiscard]] Moment now() const { return {clock.wall_micros(), clock.steady_ms()}; }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static Server* server = nullptr;
    // A fresh one from time to time, so that neither the log nor the inputs' effects pile up.
    static unsigned runs = 0;
    if (runs++ % 500 == 0) {
        delete server;
        server = new Server;
    }
    unsigned answers = 0;
    server->api->handle(request_from(as_text({data, size})),
                        [&answers](const HttpResponse& response) {
                            ++answers;
                            DROVER_ASSERT(response.status >= 200 && response.status <= 503);
                        });
    DROVER_ASSERT(server->core->turn(server->now()).has_value());
    DROVER_ASSERT(answers == 1);
    return 0;
}
