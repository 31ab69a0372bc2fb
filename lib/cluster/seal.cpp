#include "cluster/seal.hpp"

#include <nettle/hmac.h>
#include <nettle/memops.h>

#include <cstdint>

namespace brood::cluster::detail {
namespace {

static_assert(seal_size == SHA256_DIGEST_SIZE);

/// Each part behind its length: no two lists of parts give the same bytes.
void add(hmac_sha256_ctx& context, std::string_view part) {
  const std::uint64_t size = part.size();
  hmac_sha256_update(&context, sizeof size, reinterpret_cast<const std::uint8_t*>(&size));
  hmac_sha256_update(&context, part.size(), reinterpret_cast<const std::uint8_t*>(part.data()));
}

hmac_sha256_ctx begin(const authkey& key) {
  hmac_sha256_ctx context;
  hmac_sha256_set_key(&context, key.bytes().size(),
                      reinterpret_cast<const std::uint8_t*>(key.bytes().data()));
  return context;
}

std::string end(hmac_sha256_ctx& context) {
  std::string result(seal_size, '\0');
  hmac_sha256_digest(&context, seal_size, reinterpret_cast<std::uint8_t*>(result.data()));
  return result;
}

std::string mac(const authkey& key, std::initializer_list<std::string_view> context, std::string_view body) {
  hmac_sha256_ctx running = begin(key);
  for (const auto part : context) add(running, part);
  add(running, body);
  return end(running);
}

}  // namespace

std::string mac_of(const authkey& key, std::initializer_list<std::string_view> parts) {
  hmac_sha256_ctx running = begin(key);
  for (const auto part : parts) add(running, part);
  return end(running);
}

std::string seal(const authkey& key, std::initializer_list<std::string_view> context, std::string_view body) {
  std::string result = mac(key, context, body);
  result += body;
  return result;
}

std::optional<std::string_view> unseal(const authkey& key, std::initializer_list<std::string_view> context,
                                       std::string_view sealed) {
  if (sealed.size() < seal_size) return std::nullopt;
  const std::string_view body = sealed.substr(seal_size);
  const std::string right = mac(key, context, body);
  if (memeql_sec(right.data(), sealed.data(), seal_size) == 0) return std::nullopt;
  return body;
}

std::string to_hex(std::string_view bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string result;
  for (const char c : bytes) {
    result += digits[static_cast<unsigned char>(c) >> 4];
    result += digits[static_cast<unsigned char>(c) & 15];
  }
  return result;
}

}  // namespace brood::cluster::detail
