#include "orchestrator/setup.h"

#include "base/crash_point.h"
#include "base/file.h"
#include "base/log.h"
#include "eventlog/rocksdb_log.h"
#include "orchestrator/enrolment.h"

namespace drover::orchestrator {

namespace {

namespace fs = std::filesystem;

constexpr unsigned secret_mode = 0600;
constexpr unsigned public_mode = 0644;
constexpr std::size_t small_file_max = 64U << 10;

Result<> write_text(const fs::path& path, const std::string& text, unsigned mode) {
    return write_file_durably(path, as_bytes(text), mode);
}

Result<> write_pair(const fs::path& directory, const std::string& name,
                    const wire::KeyAndCertificate& pair) {
    TRY_VOID(write_text(directory / (name + ".key"), pair.key_pem, secret_mode));
    DROVER_CRASH_POINT("init.key_without_certificate");
    return write_text(directory / (name + ".crt"), pair.certificate_pem, public_mode);
}

Result<> refuse_used(const fs::path& directory) {
    std::error_code error;
    const bool exists = fs::exists(directory, error);
    if (!error && (!exists || fs::is_empty(directory, error)) && !error) return {};
    return Error(Errc::conflict, "state_not_empty",
                 directory.string() + " is not an empty directory" +
                     (error ? ": " + error.message() : std::string()),
                 "nothing in it was changed",
                 "choose another directory; if an earlier init was interrupted, remove this one");
}

Result<> check_hosts(const std::vector<std::string>& hosts) {
    for (const std::string& host : hosts) {
        if (!valid_host(host)) {
            return Error(Errc::invalid, "bad_host",
                         "\"" + printable(host, 80) + "\" is no host name or address",
                         "nothing was changed", "give names or addresses that agents will dial");
        }
    }
    if (!hosts.empty()) return {};
    return Error(Errc::invalid, "bad_host", "no host was given", "nothing was changed",
                 "give at least one name or address that agents will dial");
}

Result<std::string> read_part(const fs::path& directory, const std::string& name) {
    auto text = read_text(directory / name, small_file_max);
    if (text) return std::move(*text);
    if (text.error().code() != Errc::not_found) return text.error();
    return Error(Errc::not_found, "state_missing", directory.string() + " has no " + name,
                 "nothing was changed",
                 "give the directory that `droverd init` made, or restore it from its backup");
}

Result<Hash> read_hash(const fs::path& directory, const std::string& name) {
    TRY(auto text, read_part(directory, name));
    while (!text.empty() && text.back() == '\n') text.pop_back();
    const auto hash = Hash::from_hex_text(text);
    if (hash) return *hash;
    return Error(Errc::corrupt, "state_damaged", (directory / name).string() + " is damaged",
                 "the event log", "restore the file from its backup");
}

Result<> refuse_existing(const fs::path& recovery_key) {
    std::error_code error;
    if (!fs::exists(recovery_key, error) && !error) return {};
    return Error(Errc::conflict, "recovery_key_exists",
                 recovery_key.string() + " exists, or cannot be looked at", "that file",
                 "name a file that does not exist yet");
}

/// Returns its fingerprint.
Result<Hash> make_anchor_key(const fs::path& directory, Random& random) {
    const SigningSeed seed(random.secret());
    const PublicKey key = seed.public_key();
    // The secret half last: with it the pair is complete.
    TRY_VOID(write_text(directory / "anchor.pub", public_key_to_pem(key), public_mode));
    TRY_VOID(write_text(directory / "anchor.key", seed.to_pem(), secret_mode));
    return key_fingerprint(key);
}

}  // namespace

Result<> provide_anchor_key(const fs::path& directory, Random& random) {
    // A directory that init never made, or not to its end, gets nothing.
    if (const auto made = read_part(directory, "authority.key"); !made) return made.error();
    const auto known = read_part(directory, "anchor.key");
    if (known) return {};
    if (known.error().code() != Errc::not_found) return known.error();
    std::error_code error;
    const bool is_lost = fs::exists(anchors_file(directory), error);
    // Another key would make a lost or removed one look like nothing had happened.
    if (is_lost || error)
        return Error(Errc::not_found, "state_missing",
                     directory.string() + " has no anchor.key, which signed its anchors.jsonl",
                     "nothing was changed", "restore anchor.key from the directory's backup");
    TRY(const Hash fingerprint, make_anchor_key(directory, random));
    log::info("setup", "a key to sign anchors was made; its fingerprint: " + fingerprint.hex());
    return {};
}

fs::path anchors_file(const fs::path& directory) {
    return directory / "anchors.jsonl";
}

fs::path log_directory(const fs::path& directory) {
    return directory / "log";
}

Result<Initialised> initialise_state(const fs::path& directory,
                                     const std::vector<std::string>& hosts, Random& random,
                                     WallMicros now, fs::path recovery_key) {
    TRY_VOID(check_hosts(hosts));
    TRY_VOID(refuse_used(directory));
    if (recovery_key.empty()) recovery_key = directory / "recovery.key";
    TRY_VOID(refuse_existing(recovery_key));
    TRY_VOID(make_directory_durably(directory));
    DROVER_CRASH_POINT("init.directory_made");
    TRY(const auto authority, wire::create_authority("drover authority", now));
    TRY(const auto server, wire::issue_server(authority, hosts, now));
    TRY(const auto ticket, wire::make_signing_key());
    const std::string api_token = "drover_api_" + random.secret().hex();
    TRY_VOID(write_pair(directory, "authority", authority));
    DROVER_CRASH_POINT("init.authority_written");
    TRY_VOID(write_pair(directory, "server", server));
    DROVER_CRASH_POINT("init.server_written");
    TRY_VOID(write_text(directory / "ticket.key", ticket.key_pem, secret_mode));
    TRY_VOID(write_text(directory / "ticket.pub", ticket.public_pem, public_mode));
    DROVER_CRASH_POINT("init.ticket_written");
    TRY(const Hash anchor_key, make_anchor_key(directory, random));
    TRY(const auto recovery, wire::make_signing_key());
    TRY_VOID(write_text(recovery_key, recovery.key_pem, secret_mode));
    TRY_VOID(write_text(directory / "recovery.pub", recovery.public_pem, public_mode));
    TRY_VOID(write_text(directory / "tokens.key", random.secret().hex() + "\n", secret_mode));
    DROVER_CRASH_POINT("init.token_key_written");
    TRY_VOID(write_text(directory / "api-token", api_token + "\n", secret_mode));
    DROVER_CRASH_POINT("init.api_token_written");
    TRY_VOID(
        write_text(directory / "api-token.hash", token_hash(api_token).hex() + "\n", secret_mode));
    DROVER_CRASH_POINT("init.api_token_hash_written");
    // Last: a directory without a log cannot run, so a half-made one is never used.
    TRY_VOID(eventlog::create_rocksdb_log(log_directory(directory), random.uuid()));
    DROVER_CRASH_POINT("init.log_made");
    TRY(const auto pin, wire::fingerprint(authority.certificate_pem));
    return Initialised{pin, directory / "api-token", anchor_key, recovery_key};
}

Result<Secrets> load_secrets(const fs::path& directory) {
    TRY(const std::string anchor_pem, read_part(directory, "anchor.key"));
    TRY(const SigningSeed anchor, SigningSeed::from_pem(anchor_pem));
    Secrets secrets{.anchor = anchor};
    TRY(secrets.authority.key_pem, read_part(directory, "authority.key"));
    TRY(secrets.authority.certificate_pem, read_part(directory, "authority.crt"));
    TRY(secrets.server.key_pem, read_part(directory, "server.key"));
    TRY(secrets.server.certificate_pem, read_part(directory, "server.crt"));
    TRY(secrets.ticket.key_pem, read_part(directory, "ticket.key"));
    TRY(secrets.ticket.public_pem, read_part(directory, "ticket.pub"));
    TRY(secrets.api_token_hash, read_hash(directory, "api-token.hash"));
    TRY(secrets.agent_token_secret, read_hash(directory, "tokens.key"));
    TRY(secrets.ca_pin, wire::fingerprint(secrets.authority.certificate_pem));
    auto recovery = read_text(directory / "recovery.pub", small_file_max);
    if (!recovery && recovery.error().code() != Errc::not_found) return recovery.error();
    if (recovery) secrets.recovery_public_pem = std::move(*recovery);
    return secrets;
}

}  // namespace drover::orchestrator
