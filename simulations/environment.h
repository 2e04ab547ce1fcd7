/// What the substitutes of base/, wire/ and replicator/ reach from inside of production code, where
/// nobody can hand them anything: the files of all simulated machines, the memory maps, and the
/// steps at which a process may die or an operation may fail. One at a time, like the scheduler.
#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "simulations/scheduler.h"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace drover::sim {

/// A file of a simulated machine. SIGKILL leaves `now`; a power cut leaves `durable`.
struct File {
    std::optional<Bytes> now;  ///< empty: it does not exist
    std::optional<Bytes> durable;
    /// Blocks written in place since the last sync: a power cut keeps, loses or tears each. Empty
    /// for files that are written as a whole.
    std::vector<bool> unsynced;
};

/// A memory-mapped file: survives the process, not the machine's reboot.
struct MappedWords {
    Bytes header;
    std::vector<std::uint64_t> words;
};

/// The files of all machines, by absolute path. Those of one machine ("/NAME/...") stand together,
/// and apart from the others', because most questions are about one machine.
class Files {
  public:
    using Tree = std::map<std::string, File, std::less<>>;

    /// The files of the machine to which `path` belongs.
    [[nodiscard]] Tree& of(std::string_view path);
    /// nullptr if there is none that exists.
    [[nodiscard]] File* find(const std::string& path);

    [[nodiscard]] File& at(const std::string& path) { return of(path)[path]; }

  private:
    std::unordered_map<std::string, Tree> trees_;  ///< by machine; never walked
    /// The one that was asked for last, and often is again.
    std::string last_;
    Tree* last_tree_ = nullptr;
};

class Environment {
  public:
    Environment();
    ~Environment();
    Environment(const Environment&) = delete;
    Environment& operator=(const Environment&) = delete;

    [[nodiscard]] static Environment& current();

    /// A point at which a crash would be seen from outside. May not return.
    void step(std::string_view name) {
        if (on_step) on_step(name);
    }

    /// The error with which this operation on this path fails, if it is to fail.
    [[nodiscard]] Result<> attempt(std::string_view operation, std::string_view path) {
        return on_attempt ? on_attempt(operation, path) : Result<>();
    }

    /// What a power cut leaves of the files and maps below `root`: unsynced contents are lost, of
    /// those written in place some, as `dice` says.
    void lose_power(const std::string& root, Dice& dice);
    /// Forgets everything below `root`, as a new disk does.
    void remove_tree(const std::string& root);
    /// A copy of the tree under another root, as a clone of the machine has it.
    void copy_tree(const std::string& from, const std::string& to);

    Files files;
    std::map<std::string, std::shared_ptr<MappedWords>> maps;

    /// `name` is for example "file.renamed" or "disk.written".
    std::function<void(std::string_view name)> on_step;
    std::function<Result<>(std::string_view operation, std::string_view path)> on_attempt;
    /// A line that a process logs.
    std::function<void(std::string_view line)> on_log;
    /// Virtual time that a write to stable storage takes.
    std::function<Micros()> sync_time;

    /// Blocks for sync_time().
    void take_sync_time();
};

}  // namespace drover::sim
