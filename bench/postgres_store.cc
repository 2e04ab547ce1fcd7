#include "bench/child.h"
#include "bench/measure.h"
#include "bench/store.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>

#include <arpa/inet.h>
#include <libpq-fe.h>
#include <poll.h>
#include <unistd.h>

namespace drover::bench {
namespace {

constexpr const char* programs = "/usr/lib/postgresql/15/bin/";
constexpr const char* user = "postgres";
constexpr int start_tries_max = 200;
constexpr useconds_t start_retry_us = 50'000;

/// Durability as it comes (fsync, synchronous_commit and full_page_writes are on); a usual size of
/// the buffers, and enough log that no checkpoint falls into a run.
constexpr const char* settings =
    "listen_addresses = ''\n"
    "shared_buffers = 256MB\n"
    "max_wal_size = 4GB\n"
    "max_connections = 100\n";

constexpr const char* table =
    "CREATE TABLE IF NOT EXISTS events(stream bytea NOT NULL, seq int NOT NULL,"
    " payload bytea NOT NULL, PRIMARY KEY(stream, seq))";

/// The version before must be there and this one must not.
constexpr const char* insert =
    "INSERT INTO events SELECT $1::bytea, $2::int + 1, $3::bytea"
    " WHERE $2 = 0 OR EXISTS(SELECT 1 FROM events WHERE stream = $1 AND seq = $2)"
    " ON CONFLICT DO NOTHING";

class PostgresStore final : public Store {
  public:
    explicit PostgresStore(const std::string& directory)
        : sockets_(directory) {
        const std::string data = directory + "/data";
        const std::string output = directory + "/output";
        make_directory_for(data, user);
        Child init({std::string(programs) + "initdb", "-D", data, "-U", user, "-A", "trust", "-E",
                    "UTF8", "--locale=C"},
                   output, user, SIGINT);
        if (init.wait() != 0) fail("initdb failed, see " + output);
        std::ofstream(data + "/postgresql.conf", std::ios::app)
            << settings << "unix_socket_directories = '" << data << "'\n";
        sockets_ = data;
        server_ = std::make_unique<Child>(
            std::vector<std::string>{std::string(programs) + "postgres", "-D", data}, output, user,
            SIGINT);
    }

    ~PostgresStore() override { close(); }

    PostgresStore(const PostgresStore&) = delete;
    PostgresStore& operator=(const PostgresStore&) = delete;

    [[nodiscard]] std::string name() const override { return "postgresql"; }

    void open(std::size_t producers) override {
        close();
        for (std::size_t i = 0; i < producers; ++i) {
            connections_.push_back(connect());
            polled_.push_back({PQsocket(connections_.back()), POLLIN, 0});
        }
    }

    void submit(const StoreAppend& append) override {
        PGconn* connection = connections_[append.producer];
        const std::uint32_t expected = htonl(append.expected);
        const std::array<const char*, 3> values = {
            reinterpret_cast<const char*>(append.stream.data.data()),
            reinterpret_cast<const char*>(&expected),
            reinterpret_cast<const char*>(append.payload.data())};
        const std::array<int, 3> lengths = {static_cast<int>(append.stream.data.size()),
                                            static_cast<int>(sizeof expected),
                                            static_cast<int>(append.payload.size())};
        constexpr std::array<int, 3> binary = {1, 1, 1};
        if (PQsendQueryPrepared(connection, "append", 3, values.data(), lengths.data(),
                                binary.data(), 1) != 1 ||
            PQflush(connection) < 0)
            fail(std::string("postgresql: ") + PQerrorMessage(connection));
    }

    void complete(std::vector<StoreDone>& done) override {
        const std::size_t before = done.size();
        while (done.size() == before) {
            if (::poll(polled_.data(), polled_.size(), -1) < 0 && errno != EINTR)
                fail("poll failed");
            for (std::size_t i = 0; i < polled_.size(); ++i)
                if (polled_[i].revents != 0) take(i, done);
        }
    }

  private:
    PGconn* connect() {
        const std::string where = "host=" + sockets_ + " user=" + user + " dbname=postgres";
        for (int tries = 0; tries < start_tries_max; ++tries) {
            PGconn* connection = PQconnectdb(where.c_str());
            if (PQstatus(connection) == CONNECTION_OK) {
                run(PQexec(connection, "SET client_min_messages = warning"), connection);
                run(PQexec(connection, table), connection);
                run(PQprepare(connection, "append", insert, 3, nullptr), connection);
                return connection;
            }
            PQfinish(connection);
            if (server_->has_ended()) break;
            ::usleep(start_retry_us);
        }
        fail("postgresql does not start, see its output below " + sockets_);
    }

    static void run(PGresult* result, PGconn* connection) {
        if (PQresultStatus(result) != PGRES_COMMAND_OK)
            fail(std::string("postgresql: ") + PQerrorMessage(connection));
        PQclear(result);
    }

    void take(std::size_t producer, std::vector<StoreDone>& done) {
        PGconn* connection = connections_[producer];
        if (PQconsumeInput(connection) != 1)
            fail(std::string("postgresql: ") + PQerrorMessage(connection));
        while (PQisBusy(connection) == 0) {
            PGresult* result = PQgetResult(connection);
            if (!result) return;
            if (PQresultStatus(result) != PGRES_COMMAND_OK)
                fail(std::string("postgresql: ") + PQresultErrorMessage(result));
            done.push_back({producer, std::strcmp(PQcmdTuples(result), "1") != 0});
            PQclear(result);
        }
    }

    void close() {
        for (PGconn* connection : connections_) PQfinish(connection);
        connections_.clear();
        polled_.clear();
    }

    std::string sockets_;
    std::unique_ptr<Child> server_;
    std::vector<PGconn*> connections_;
    std::vector<pollfd> polled_;
};

}  // namespace

std::unique_ptr<Store> make_postgres_store(const std::string& directory) {
    return std::make_unique<PostgresStore>(directory);
}

}  // namespace drover::bench
