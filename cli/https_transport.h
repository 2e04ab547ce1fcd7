/// The product's Transport: wire's blocking HTTPS client, one connection a request.
#pragma once

#include "cli/server_address.h"
#include "cli/transport.h"

namespace drover::cli {

class HttpsTransport final : public Transport {
  public:
    /// `authority_pem` is the only trust anchor.
    HttpsTransport(ServerAddress server, std::string authority_pem)
        : server_(std::move(server)),
          authority_pem_(std::move(authority_pem)) {}

    Result<HttpResponse> exchange(const HttpRequest& request) override;
    [[nodiscard]] Result<HttpResponse> download(
        const HttpRequest& request, const std::function<bool(std::string_view)>& on_piece) override;
    Result<HttpResponse> stream(const HttpRequest& request,
                                const std::function<bool(const ServerEvent&)>& on_event) override;

  private:
    ServerAddress server_;
    std::string authority_pem_;
};

/// The first contact: accepts the authority whose SHA-256 is `ca_pin`, shows the token, and returns
/// the authority's certificate. Errors: denied (wrong pin, certificate or token), unavailable.
[[nodiscard]] Result<std::string> fetch_authority(const ServerAddress& server,
                                                  const std::string& ca_pin,
                                                  const std::string& token);

}  // namespace drover::cli
