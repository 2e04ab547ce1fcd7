/// A server made of prepared answers, and a clock that moves when somebody waits. Records what it
/// was asked. No network.
#pragma once

#include "base/clock.h"
#include "base/random.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/output.h"

#include <deque>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

namespace drover::cli {

class FakeServer final : public Transport {
  public:
    std::vector<HttpRequest> asked;
    /// Taken from the front; when empty, `otherwise` answers.
    std::deque<Result<HttpResponse>> answers;
    std::function<Result<HttpResponse>(const HttpRequest&)> otherwise;
    /// Each stream request takes one list of events and then ends.
    std::deque<std::vector<ServerEvent>> streams;

    Result<HttpResponse> exchange(const HttpRequest& request) override {
        asked.push_back(request);
        if (!answers.empty()) {
            auto answer = std::move(answers.front());
            answers.pop_front();
            return answer;
        }
        if (otherwise) return otherwise(request);
        return lost();
    }

    Result<HttpResponse> download(const HttpRequest& request,
                                  const std::function<bool(std::string_view)>& on_piece) override {
        TRY(auto answer, exchange(request));
        if (answer.status == 200) on_piece(answer.body);
        return answer;
    }

    Result<HttpResponse> stream(const HttpRequest& request,
                                const std::function<bool(const ServerEvent&)>& on_event) override {
        asked.push_back(request);
        if (streams.empty()) return lost();
        const auto events = std::move(streams.front());
        streams.pop_front();
        for (const ServerEvent& event : events) {
            if (!on_event(event)) break;
        }
        return HttpResponse{200, {}};
    }

    static Error lost() { return Error{Errc::unavailable, "connection_lost", "connection lost"}; }

    void answer(std::string body, unsigned status = 200) {
        answers.emplace_back(HttpResponse{status, std::move(body)});
    }

    [[nodiscard]] std::vector<std::string> header(const std::string& name) const {
        std::vector<std::string> values;
        for (const HttpRequest& request : asked) {
            for (const auto& [key, value] : request.headers) {
                if (key == name) values.push_back(value);
            }
        }
        return values;
    }
};

/// A command line's world: run({"job", "list"}), then look at out, err and what the server was
/// asked.
class CliWorld final : public Waiter {
  public:
    FakeServer server;
    ManualClock clock;
    std::ostringstream out;
    std::ostringstream err;
    std::uint32_t waits = 0;

    void wait_ms(std::uint32_t ms) override {
        ++waits;
        clock.advance_micros(std::int64_t{ms} * 1000);
    }

    [[nodiscard]] Client client(std::uint64_t retry_for_s = 10) {
        return Client({server, clock, random_, *this}, {"secret-token", retry_for_s, {}});
    }

    ExitCode run(const std::vector<std::string>& words);

  private:
    SeededRandom random_{7};
};

}  // namespace drover::cli
