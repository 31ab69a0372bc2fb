// Errors in answers: how they are written there, and what is thrown for them.
#pragma once

#include <exception>
#include <string>

#include "brood/manager/detail/protocol.hpp"

namespace brood::remote {

std::string read_text(detail::byte_reader& in);

/// The exception that an answer with another outcome than `value` stands for.
std::exception_ptr error_of(outcome how, detail::byte_reader& in);

/// Appends the outcome that stands for the present exception. To be called in a handler.
void put_current_error(bytes& out);

/// A failure of an object that has an outcome of its own.
class failure : public error {
 public:
  failure(outcome how, const std::string& what) : error(what), how_(how) {}
  outcome how() const noexcept { return how_; }

 private:
  outcome how_;
};

}  // namespace brood::remote
