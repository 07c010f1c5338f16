// What parses a board's text, compiled once.
#define TOML_IMPLEMENTATION
#include <toml++/toml.h>
