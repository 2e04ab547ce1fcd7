/// A product that can append one event at an expected version and acknowledge it once it is
/// durable, as the log benchmark sees it: a number of producers, each with one append under way.
///
///   submit(append) … submit(append) ─► complete() ─► who is done: durable, or refused as a
///   conflict
#pragma once

#include "base/bytes.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace drover::bench {

struct StoreAppend {
    std::size_t producer = 0;  ///< below the number given to open()
    Uuid stream;
    std::uint32_t expected = 0;  ///< events that the stream must have
    ByteView payload;            ///< stays valid until completed
};

struct StoreDone {
    std::size_t producer = 0;
    bool conflict = false;  ///< the stream was elsewhere; nothing was stored
};

/// Any failure but a conflict ends the program.
class Store {
  public:
    virtual ~Store() = default;

    [[nodiscard]] virtual std::string name() const = 0;
    /// Opens a connection for each of `producers`, or whatever stands for one. Called again for
    /// another number; what is stored stays.
    virtual void open(std::size_t producers) = 0;
    virtual void submit(const StoreAppend& append) = 0;
    /// Waits until something that was submitted is durable or refused, and appends it to `done`.
    virtual void complete(std::vector<StoreDone>& done) = 0;

    /// Commits so far, where the product says so; 0 where only its syncs tell.
    [[nodiscard]] virtual std::uint64_t commits() const { return 0; }
};

/// Each keeps its data below `directory`, which exists and is empty.
[[nodiscard]] std::unique_ptr<Store> make_drover_store(const std::string& directory);
/// `grouped`: everything submitted so far goes into one transaction.
[[nodiscard]] std::unique_ptr<Store> make_sqlite_store(const std::string& directory, bool grouped);
[[nodiscard]] std::unique_ptr<Store> make_postgres_store(const std::string& directory);
[[nodiscard]] std::unique_ptr<Store> make_etcd_store(const std::string& directory);

}  // namespace drover::bench
