#pragma once  // planted: a folder that is no layer
