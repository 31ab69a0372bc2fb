// seal: HMAC-SHA-256 over what travels through the engine, so that who can write to the engine cannot run code.
#pragma once

#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "brood/channel/authkey.hpp"

namespace brood::cluster::detail {

inline constexpr std::size_t seal_size = 32;

/// The MAC of the parts, each behind its length; raw bytes.
std::string mac_of(const authkey& key, std::initializer_list<std::string_view> parts);
/// `body` behind the MAC of `context` and itself.
std::string seal(const authkey& key, std::initializer_list<std::string_view> context, std::string_view body);
/// The body, or nothing if the seal is not the one of this key and context.
std::optional<std::string_view> unseal(const authkey& key, std::initializer_list<std::string_view> context,
                                       std::string_view sealed);
std::string to_hex(std::string_view bytes);

inline std::string_view as_text(std::span<const std::byte> bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
inline std::span<const std::byte> as_data(std::string_view text) noexcept {
  return std::as_bytes(std::span(text));
}

}  // namespace brood::cluster::detail
