#include "system/terminal.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>

#include <cerrno>

#include "system/calls.hpp"
#include "system/error.hpp"

namespace brood::sys {

bool is_terminal_size(int columns, int rows) noexcept {
  return columns > 0 && rows > 0 && columns <= 0xffff && rows <= 0xffff;
}

pseudo_terminal open_terminal(int columns, int rows) {
  pseudo_terminal made;
  made.master = unique_fd(sys::open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!made.master) throw_errno("brood: cannot open a terminal: /dev/ptmx");
  int locked = 0;
  if (sys::ioctl(made.master.get(), TIOCSPTLCK, &locked) != 0)
    throw_errno("brood: cannot open a terminal: TIOCSPTLCK");
  // The other end by the first one and not by its path, which another mount namespace may lack (Linux 4.13).
  made.slave = unique_fd(sys::open_peer_of_terminal(made.master.get()));
  if (!made.slave) throw_errno("brood: cannot open a terminal: TIOCGPTPEER");
  set_terminal_size(made.master.get(), columns, rows);
  return made;
}

void set_terminal_size(int fd, int columns, int rows) {
  winsize size{};
  size.ws_col = static_cast<unsigned short>(columns);
  size.ws_row = static_cast<unsigned short>(rows);
  if (!is_terminal_size(columns, rows)) throw_errno("brood: the size of a terminal", EINVAL);
  if (sys::ioctl(fd, TIOCSWINSZ, &size) != 0) throw_errno("brood: the size of a terminal: TIOCSWINSZ");
}

winsize terminal_size(int fd) {
  winsize size{};
  if (sys::ioctl(fd, TIOCGWINSZ, &size) != 0) throw_errno("brood: the size of a terminal: TIOCGWINSZ");
  return size;
}

termios terminal_modes(int fd) {
  termios modes{};
  if (sys::tcgetattr(fd, &modes) != 0) throw_errno("brood: the modes of a terminal: tcgetattr");
  return modes;
}

void set_terminal_modes(int fd, const termios& modes) {
  while (sys::tcsetattr(fd, &modes) != 0) {
    if (errno != EINTR) throw_errno("brood: the modes of a terminal: tcsetattr");
  }
}

}  // namespace brood::sys
