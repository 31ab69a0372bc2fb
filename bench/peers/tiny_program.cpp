// The smallest program there is to start, linked statically: ends at once, or pauses if it was given an argument.
#include <unistd.h>

int main(int argc, char**) {
  if (argc > 1) pause();
}
