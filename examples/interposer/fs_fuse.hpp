// libfuse 3, of the version that everything here is written for. (Where words have 32 bits: -D_FILE_OFFSET_BITS=64.)
#pragma once

#define FUSE_USE_VERSION 35
#include <fuse.h>
#include <fuse_lowlevel.h>
