#include "orchestrator/server.h"

#include "base/crash_point.h"
#include "base/log.h"
#include "eventlog/rocksdb_log.h"
#include "history/anchor_file.h"
#include "orchestrator/agent_links.h"
#include "orchestrator/anchors.h"
#include "orchestrator/api.h"
#include "orchestrator/http_server.h"
#include "orchestrator/older_copy.h"
#include "orchestrator/open_log.h"
#include "orchestrator/setup.h"

#include <csignal>
#include <cstdio>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

namespace drover::orchestrator {

namespace {

namespace asio = boost::asio;

constexpr std::chrono::milliseconds tick_every{250};

class Server {
  public:
    Server(const std::filesystem::path& state, const Secrets& secrets, const Config& config,
           OpenedLog opened)
        : state_(state),
          secrets_(secrets),
          config_(config),
          enrolment_(secrets.authority, secrets.ticket.public_pem, secrets.ca_pin,
                     secrets.agent_token_secret),
          log_(std::move(opened.log)),
          replayed_(std::move(opened.state)),
          io_(1),
          signals_(io_, SIGTERM, SIGINT),
          tick_timer_(io_) {}

    Result<> run() {
        TRY_VOID(start_core());
        DROVER_CRASH_POINT("start.core_started");
        TRY_VOID(listen());
        DROVER_CRASH_POINT("start.listening");
        wait_for_signal();
        tick();
        std::fprintf(stderr, "droverd ready: https %u, agents %u, epoch %u\n",
                     unsigned{http_->port()}, unsigned{links_->port()},
                     unsigned{core_->engine().epoch()});
        io_.run();
        if (failure_) return *failure_;
        DROVER_CRASH_POINT("stop.before_head_sync");
        TRY_VOID(log_->sync_head());
        DROVER_CRASH_POINT("stop.head_synced");
        return {};
    }

  private:
    [[nodiscard]] Moment now() const { return {clock_.wall_micros(), clock_.steady_ms()}; }

    Result<> start_core() {
        TRY(anchors_,
            Anchors::open(*log_, secrets_.anchor, {anchors_file(state_), config_.anchor_file},
                          now(), replayed_.resets));
        const auto sign = [key = secrets_.ticket.key_pem](ByteView message) {
            return wire::sign(key, message);
        };
        TRY_VOID(sign(as_bytes("a key that cannot sign is found before anybody connects")));
        CoreParts parts{*log_, random_, sign, {config_.reserve_bytes}, {}, std::move(replayed_)};
        TRY(const auto older_copy, load_older_copy(state_));
        parts.older_copy = older_copy.shown;
        is_known_older_copy_ = older_copy.is_known;
        TRY(core_, Core::start(std::move(parts), now()));
        core_->engine().on_submit([this] { schedule_turn(); });
        anchors_->on_made([this](const eventlog::Anchor& anchor, const std::string& line) {
            core_->sessions().announce({anchor.lineage, anchor.last_seq, line});
            schedule_turn();
        });
        if (!anchors_->all().empty())
            core_->sessions().announce({anchors_->all().back().lineage,
                                        anchors_->all().back().last_seq,
                                        history::anchor_line(anchors_->all().back())});
        // A failure is an alarm, said in the log.
        (void)anchors_->make_now(now());
        api_ = std::make_unique<Api>(ApiParts{
            .core = *core_,
            .clock = clock_,
            .random = random_,
            .enrolment = enrolment_,
            .api_token_hash = secrets_.api_token_hash,
            .settings = settings_of(config_),
            .recovery_public_pem = secrets_.recovery_public_pem,
            .anchors = anchors_.get(),
            .later = [this](std::function<void()> work) { asio::post(io_, std::move(work)); }});
        return {};
    }

    Result<> listen() {
        const wire::TlsIdentity identity{secrets_.authority.certificate_pem,
                                         secrets_.server.certificate_pem, secrets_.server.key_pem};
        TRY(links_, listen_agents({io_, *core_, clock_, [this] { schedule_turn(); }}, identity,
                                  config_.agents.host, config_.agents.port));
        DROVER_CRASH_POINT("start.agents_may_connect");
        HttpApplication application{[this](const HttpRequest& head) { return api_->admit(head); },
                                    [this](const HttpRequest& request, Respond respond) {
                                        api_->handle(request, std::move(respond));
                                    }};
        TRY(http_, listen_https(io_, identity, config_.http.host, config_.http.port,
                                std::move(application)));
        return {};
    }

    void wait_for_signal() {
        signals_.async_wait([this](const boost::system::error_code& error, int) {
            if (error) return;
            log::info("server", "stopping");
            io_.stop();
        });
    }

    void tick() {
        if (const auto ticked = core_->tick(now()); !ticked) return fail(ticked.error());
        if (!core_->sessions().older_copy()) anchors_->tick(now());
        schedule_turn();
        tick_timer_.expires_after(tick_every);
        tick_timer_.async_wait([this](const boost::system::error_code& error) {
            if (!error) tick();
        });
    }

    void schedule_turn() {
        if (is_turn_posted_) return;
        is_turn_posted_ = true;
        asio::post(io_, [this] {
            is_turn_posted_ = false;
            turn();
        });
    }

    void turn() {
        const eventlog::Seq before = core_->state().seq;
        const auto turned = core_->turn(now());
        if (!turned) return fail(turned.error());
        remember_older_copy();
        Outbox outbox = core_->sessions().take_outbox();
        const bool is_heard = !outbox.send.empty();
        if (is_heard) DROVER_CRASH_POINT("server.before_deliver");
        links_->deliver(std::move(outbox));
        if (is_heard) DROVER_CRASH_POINT("server.delivered");
        if (core_->state().seq != before) http_->notify();
        if (turned->more) schedule_turn();
    }

    void remember_older_copy() {
        const auto& shown = core_->sessions().older_copy();
        if (!shown || is_known_older_copy_) return;
        const auto stored = store_older_copy(state_, *shown);
        is_known_older_copy_ = stored.has_value();
        if (!stored) log::error("server", stored.error().text());
    }

    /// What is on disk is not known any more. Nothing is answered; a new start finds out.
    void fail(const Error& error) {
        failure_ = Error(error.code(), error.id(), error.detail() + "; droverd stops",
                         "everything that was acknowledged is in the log",
                         error.next().empty() ? "start droverd again" : error.next());
        io_.stop();
    }

    const std::filesystem::path& state_;
    const Secrets& secrets_;
    const Config& config_;
    SystemClock clock_;
    SystemRandom random_;
    Enrolment enrolment_;
    std::unique_ptr<eventlog::EventLog> log_;
    State replayed_;  ///< given to the core
    std::unique_ptr<Anchors> anchors_;
    std::unique_ptr<Core> core_;
    std::unique_ptr<Api> api_;
    // After what its handlers use, so that it is destroyed first, with the connections in it.
    asio::io_context io_;
    asio::signal_set signals_;
    asio::steady_timer tick_timer_;
    std::unique_ptr<AgentLinks> links_;
    std::unique_ptr<HttpServer> http_;
    std::optional<Error> failure_;
    bool is_turn_posted_ = false;
    bool is_known_older_copy_ = false;  ///< and durably so
};

}  // namespace

Result<> run_server(const std::filesystem::path& state, const Config& config) {
    SystemRandom random;
    TRY_VOID(provide_anchor_key(state, random));
    TRY(const auto secrets, load_secrets(state));
    DROVER_CRASH_POINT("start.secrets_loaded");
    TRY(auto opened, open_log(log_directory(state), config.ballast_bytes));
    DROVER_CRASH_POINT("start.log_opened");
    Server server(state, secrets, config, std::move(opened));
    return server.run();
}

}  // namespace drover::orchestrator
