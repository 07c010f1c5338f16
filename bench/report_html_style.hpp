// The page's style: one column, both colour schemes, nothing from outside.
#pragma once

#include <string_view>

namespace freestone::bench {

inline constexpr std::string_view html_style = R"css(
:root {
  color-scheme: light dark;
  --paper: #fbfbf9; --card: #ffffff; --ink: #1c2024; --soft: #626a73; --rule: #e2e4e6; --accent: #0b6e5f; --wash: #e6f4f0;
  --free: #eff1f3; --refused: #e5484d; --peak: #1c2024;
  --s0: #46327e; --s1: #365c8d; --s2: #277f8e; --s3: #1fa187; --s4: #4ac16d; --s5: #a5d935;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171a; --card: #1b1f23; --ink: #e6e8ea; --soft: #9aa3ac; --rule: #2e343a; --accent: #5fd0b8; --wash: #17302b;
    --free: #252a30; --refused: #ff6369; --peak: #e6e8ea;
    --s0: #8d78d6; --s1: #6f95cf; --s2: #4fb0bf; --s3: #3fc7a5; --s4: #7ad98f; --s5: #c9e86b;
  }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 2.5rem 1.25rem 4rem; background: var(--paper); color: var(--ink);
       font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .5rem; letter-spacing: -.01em; }
h2 { font-size: 1.25rem; margin: 0; }
h3 { font-size: .95rem; margin: 1.4rem 0 .4rem; }
p { margin: .5rem 0; max-width: 48rem; }
a { color: var(--accent); }
.soft, figcaption, .notes { color: var(--soft); font-size: .875rem; }
section { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 1.25rem 1.4rem; margin: 1.4rem 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .84rem; font-variant-numeric: tabular-nums; margin: .8rem 0 .2rem; }
th, td { text-align: right; padding: .32rem .45rem; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th { font-weight: 600; color: var(--soft); }
th:first-child, td:first-child { text-align: left; }
tr.best td { background: var(--wash); font-weight: 600; }
th.group { text-align: center; border-left: 1px solid var(--rule); }
td.edge, th.edge { border-left: 1px solid var(--rule); }
.advice { border-left: 4px solid var(--accent); background: var(--wash); padding: .7rem 1rem; border-radius: 0 8px 8px 0; margin: .8rem 0; }
.advice p { margin: 0; max-width: none; }
pre { margin: .6rem 0 0; font: .8rem/1.5 ui-monospace, monospace; white-space: pre-wrap; }
ul.notes { margin: .4rem 0; padding-left: 1.1rem; }
figure { margin: .8rem 0 0; }
figcaption { margin-bottom: .3rem; }
figcaption b { color: var(--ink); }
svg { display: block; width: 100%; height: auto; }
.zone { fill: var(--free); }
.peak { stroke: var(--peak); stroke-width: 1; stroke-dasharray: 6 4; fill: none; opacity: .75; }
.s0 { fill: var(--s0); } .s1 { fill: var(--s1); } .s2 { fill: var(--s2); }
.s3 { fill: var(--s3); } .s4 { fill: var(--s4); } .s5 { fill: var(--s5); }
.refused { fill: var(--refused); }
path[class^="s"], .refused { stroke: var(--card); stroke-width: .3; }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1rem; margin-top: .5rem; font-size: .8rem; color: var(--soft); }
.legend svg { display: inline-block; width: .8rem; height: .8rem; vertical-align: -.08rem; margin-right: .35rem; }
)css";

}  // namespace freestone::bench
