/// Appends of one event at an expected version, acknowledged once durable, in drover's log and in
/// other products beside it: one run, the products in turn, on one file system.
///
///   log-bench DIRECTORY [--rounds N] [--seconds S] [--only PRODUCT] [--producers N] [--appends N]
///
/// `--appends` counts instead of timing: for a run under strace.
#include "bench/measure.h"
#include "bench/store.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>

namespace drover::bench {
namespace {

constexpr std::size_t payload_bytes = 256;

struct Options {
    std::string directory;
    int rounds = 5;
    double seconds = 1.5;
    std::string only;
    std::vector<std::size_t> producers = {1, 16, 64};
    std::size_t appends = 0;
};

struct Product {
    std::string name;
    std::function<std::unique_ptr<Store>(const std::string&)> make;
};

std::vector<Product> products() {
    return {{"drover", make_drover_store},
            {"sqlite", [](const auto& directory) { return make_sqlite_store(directory, false); }},
            {"sqlite-grouped",
             [](const auto& directory) { return make_sqlite_store(directory, true); }},
            {"postgresql", make_postgres_store},
            {"etcd", make_etcd_store}};
}

/// Bytes that do not compress, the same in every run.
Bytes payload_of(std::uint64_t seed) {
    Bytes out;
    for (std::uint64_t x = seed * 2 + 1; out.size() < payload_bytes;) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        put_u64(out, x);
    }
    return out;
}

struct Figures {
    double per_second = 0;
    double p50_us = 0;
    double p99_us = 0;
    std::size_t appends = 0;
};

/// Closed loops: every producer has one append to a stream of its own under way, and the next
/// begins when it is acknowledged.
class Load {
  public:
    Load(Store& store, std::size_t producers, std::uint32_t run)
        : store_(store) {
        store.open(producers);
        for (std::size_t i = 0; i < producers; ++i) {
            Producer producer;
            put_run(producer.stream, run, i);
            producer.payload = payload_of(i + 1);
            producers_.push_back(std::move(producer));
        }
    }

    /// Stops after `seconds`, or after `appends` if that is not zero.
    Figures run(double seconds, std::size_t appends) {
        const double started = now_us();
        std::size_t begun = 0;
        for (std::size_t i = 0; i < producers_.size(); ++i, ++begun) submit(i);
        std::vector<StoreDone> done;
        double ended = started;
        while (latencies_.size() < begun) {
            done.clear();
            store_.complete(done);
            ended = now_us();
            const bool goes_on =
                appends != 0 ? begun + done.size() <= appends : ended - started < seconds * 1e6;
            for (const StoreDone& one : done) {
                if (one.conflict) fail(store_.name() + " saw a conflict where there is none");
                acknowledge(producers_[one.producer], ended);
                if (!goes_on) continue;
                submit(one.producer);
                ++begun;
            }
        }
        return {static_cast<double>(latencies_.size()) / (ended - started) * 1e6,
                quantile(latencies_, 0.5), quantile(latencies_, 0.99), latencies_.size()};
    }

    /// A stream that is elsewhere must be noticed, behind and ahead, or the numbers mean nothing.
    void check_conflicts() {
        const std::uint32_t right = producers_[0].length;
        for (const std::uint32_t wrong : {right - 1, right + 1}) {
            store_.submit({0, producers_[0].stream, wrong, producers_[0].payload});
            std::vector<StoreDone> done;
            store_.complete(done);
            if (!done.front().conflict) fail(store_.name() + " overlooked a conflict");
        }
    }

  private:
    struct Producer {
        Uuid stream;
        std::uint32_t length = 0;
        Bytes payload;
        double submitted_us = 0;
    };

    static void put_run(Uuid& id, std::uint32_t run, std::size_t producer) {
        id.data[0] = static_cast<std::uint8_t>(run >> 8);
        id.data[1] = static_cast<std::uint8_t>(run);
        id.data[2] = static_cast<std::uint8_t>(producer);
    }

    void submit(std::size_t index) {
        Producer& producer = producers_[index];
        producer.submitted_us = now_us();
        store_.submit({index, producer.stream, producer.length, producer.payload});
    }

    void acknowledge(Producer& producer, double at_us) {
        ++producer.length;
        latencies_.push_back(at_us - producer.submitted_us);
    }

    Store& store_;
    std::vector<Producer> producers_;
    std::vector<double> latencies_;
};

struct Column {
    std::vector<double> per_second;
    std::vector<double> p50_us;
    std::vector<double> p99_us;
};

using Results = std::map<std::pair<std::string, std::size_t>, Column>;

void print(const Options& options, const std::vector<Product>& all, Results& results,
           double sync_us) {
    std::printf(
        "%d rounds of %.1f s each; medians; payload %zu bytes; write + fdatasync %.0f us\n\n",
        options.rounds, options.seconds, payload_bytes, sync_us);
    std::printf("| product | producers | events/s | p50 us | p99 us | drover : it |\n");
    std::printf("|---|---|---|---|---|---|\n");
    for (const std::size_t producers : options.producers) {
        const auto drover = results.find({"drover", producers});
        for (const Product& product : all) {
            const auto found = results.find({product.name, producers});
            if (found == results.end()) continue;
            const double rate = median(found->second.per_second);
            std::string ratio = "";
            if (drover != results.end() && drover != found) {
                char text[32];
                std::snprintf(text, sizeof text, "%.2f", median(drover->second.per_second) / rate);
                ratio = text;
            }
            std::printf("| %s | %zu | %s | %s | %s | %s |\n", product.name.c_str(), producers,
                        grouped(rate).c_str(), grouped(median(found->second.p50_us)).c_str(),
                        grouped(median(found->second.p99_us)).c_str(), ratio.c_str());
        }
    }
}

void run_counted(const Options& options, const Product& product) {
    const auto store = product.make(options.directory);
    const std::size_t producers = options.producers.front();
    const Figures figures = Load(*store, producers, 1).run(0, options.appends);
    std::printf("appends=%zu commits=%s\n", figures.appends,
                std::to_string(store->commits()).c_str());
}

void run_timed(const Options& options) {
    std::vector<Product> chosen;
    for (const Product& product : products())
        if (options.only.empty() || options.only == product.name) chosen.push_back(product);
    std::vector<std::unique_ptr<Store>> stores;
    for (const Product& product : chosen) {
        const std::string directory = options.directory + "/" + product.name;
        std::filesystem::create_directory(directory);
        // A server may run under an account of its own.
        std::filesystem::permissions(directory, std::filesystem::perms(0755));
        stores.push_back(product.make(directory));
    }
    Results results;
    std::vector<double> syncs;
    std::uint32_t run = 0;
    for (int round = 0; round < options.rounds; ++round) {
        syncs.push_back(fdatasync_us(options.directory));
        for (const std::size_t producers : options.producers) {
            for (std::size_t i = 0; i < stores.size(); ++i) {
                // Every other round in the opposite order.
                const std::size_t at = round % 2 == 0 ? i : stores.size() - 1 - i;
                Load load(*stores[at], producers, ++run);
                const Figures figures = load.run(options.seconds, 0);
                load.check_conflicts();
                Column& column = results[{chosen[at].name, producers}];
                column.per_second.push_back(figures.per_second);
                column.p50_us.push_back(figures.p50_us);
                column.p99_us.push_back(figures.p99_us);
            }
        }
    }
    print(options, chosen, results, median(syncs));
}

Options parse(int argc, char** argv) {
    Options options;
    const auto usage = [] {
        fail(
            "log-bench DIRECTORY [--rounds N] [--seconds S] [--only PRODUCT] [--producers N]"
            " [--appends N]");
    };
    if (argc < 2 || argc % 2 != 0) usage();
    options.directory = argv[1];
    for (int i = 2; i + 1 < argc; i += 2) {
        const std::string option = argv[i];
        const std::string value = argv[i + 1];
        const auto number = static_cast<std::size_t>(std::strtoull(value.c_str(), nullptr, 10));
        if (option == "--rounds")
            options.rounds = static_cast<int>(number);
        else if (option == "--seconds")
            options.seconds = std::strtod(value.c_str(), nullptr);
        else if (option == "--only")
            options.only = value;
        else if (option == "--producers")
            options.producers = {number};
        else if (option == "--appends")
            options.appends = number;
        else
            usage();
    }
    return options;
}

int run(const Options& options) {
    if (options.appends == 0) {
        run_timed(options);
        return 0;
    }
    for (const Product& product : products())
        if (product.name == options.only) run_counted(options, product);
    return 0;
}

}  // namespace
}  // namespace drover::bench

int main(int argc, char** argv) {
    return drover::bench::run(drover::bench::parse(argc, argv));
}
