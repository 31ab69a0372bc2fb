// The manager's errors. What an object throws arrives as `remote_error`.
#pragma once

#include "brood/coroutine/error.hpp"
#include "brood/export.hpp"

namespace brood {

/// The manager cannot be reached, or the connection to it was lost while a call was under way: whether that call was
/// carried out is unknown. The next call connects again. Locks and permits that were held over the connection are gone.
class BROOD_API disconnected : public error {
 public:
  using error::error;
};

/// The object exists no more: nobody held a reference, or the manager is another one than it was and it had no name.
class BROOD_API object_gone : public error {
 public:
  using error::error;
};

/// The manager does not do that: a class or method it does not know, an object of another type, too many calls, a request
/// that is too long.
class BROOD_API call_refused : public error {
 public:
  using error::error;
};

}  // namespace brood
