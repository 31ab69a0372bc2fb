// shared_fd: an open file, socket or pipe of one process that others of the family get a descriptor of.
#pragma once

#include <memory>

#include "brood/arena/codec.hpp"
#include "brood/channel/detail/fd_object.hpp"
#include "brood/coroutine/task.hpp"
#include "brood/export.hpp"
#include "brood/system/unique_fd.hpp"

namespace brood {

/// A small handle for messages, arguments and results: copies name the same open file. The process that made
/// it keeps the file open until the last handle of the last process and message is gone, also of killed ones,
/// or until it ends itself: who shares a file lives until the others have opened it (so a child's result is
/// no place for one). Others ask it over a Unix socket for their descriptor, so its loop must run.
class BROOD_API shared_fd {
 public:
  /// Names no file.
  shared_fd() = default;
  /// Takes the descriptor over. Throws `std::system_error` if it is none (EBADF), `arena_full`, and
  /// `std::logic_error` without `brood::init` or where no loop runs.
  explicit shared_fd(unique_fd fd);
  /// With a duplicate of a descriptor that the caller keeps. Throws as above, and EMFILE.
  static shared_fd copy_of(int fd);

  /// A descriptor of this process's own, close-on-exec, each time another. Waits for the process that made
  /// it. Throws `closed` if that one has ended or this names no file, `std::system_error` (EMFILE).
  /// Cancellation: nothing was opened.
  task<unique_fd> open() const;

  explicit operator bool() const noexcept { return object_ != nullptr; }
  friend bool operator==(const shared_fd&, const shared_fd&) = default;

  template <class Archive>
  void save(Archive& archive) const {
    detail::object_name name;
    if (object_ != nullptr) {
      name = object_->name();
      detail::travelling_objects::note(object_);
    }
    archive(name.block, name.generation);
  }
  /// Throws `decode_error` if the bytes name no file.
  template <class Archive>
  void load(Archive& archive) {
    detail::object_name name;
    archive(name.block, name.generation);
    find(name);
  }

 private:
  void find(detail::object_name name);

  std::shared_ptr<detail::fd_object> object_;
};

}  // namespace brood
