/** What stands around every page: the way to all pages, the theme, the way out. */

import type { VNode } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { PAGE_GROUPS, pageOf } from "./pages.tsx";
import { Mark } from "./parts/mark.tsx";
import { hrefOf, type Route } from "./route.ts";
import { useRoute } from "./state/location.ts";
import { useShared } from "./state/shared.ts";
import { applyTheme, keptTheme, THEMES, type Theme } from "./state/theme.ts";

/** The console of somebody who is signed in. */
export function Shell(props: { readonly leave: () => void }): VNode {
  const route = useRoute();
  const [isMenuOpen, setMenuOpen] = useState(false);
  const main = useRef<HTMLElement>(null);
  const { feed } = useShared();
  // The charts go on while another page is looked at.
  useEffect(() => feed.listen(() => {}), [feed]);
  const page = pageOf(route);
  useArrival(route, page.title);
  // Going anywhere closes the menu.
  useEffect(() => setMenuOpen(false), [route]);

  return (
    <div class="shell">
      <header class="side">
        <button type="button" class="skip" onClick={() => main.current?.focus()}>
          Skip to the page
        </button>
        <div class="brand">
          <a href={hrefOf("overview")}>
            <Mark /> Tidings
          </a>
          <button
            type="button"
            class="menu"
            aria-expanded={isMenuOpen}
            aria-controls="pages"
            onClick={() => setMenuOpen(!isMenuOpen)}
          >
            Menu
          </button>
        </div>
        <div id="pages" class={isMenuOpen ? "pages open" : "pages"}>
          <Pages current={route.page} />
          <div class="side-foot">
            <ThemeSwitch />
            <button type="button" class="small" onClick={props.leave}>
              Sign out
            </button>
          </div>
        </div>
      </header>
      <main ref={main} tabIndex={-1} id="main">
        <page.Show key={`${route.page}/${route.subject ?? ""}`} route={route} />
      </main>
    </div>
  );
}

function Pages(props: { readonly current: string }): VNode {
  return (
    <nav aria-label="Console">
      {PAGE_GROUPS.map((group) => (
        <div key={group.title} class="page-group">
          <h2>{group.title}</h2>
          <ul>
            {group.pages.map((page) => (
              <li key={page.name}>
                <a
                  href={hrefOf(page.name)}
                  aria-current={page.name === props.current ? "page" : undefined}
                >
                  {page.title}
                </a>
              </li>
            ))}
          </ul>
        </div>
      ))}
    </nav>
  );
}

function ThemeSwitch(): VNode {
  const [theme, setTheme] = useState<Theme>(keptTheme);
  const choose = (chosen: Theme): void => {
    applyTheme(chosen);
    setTheme(chosen);
  };
  return (
    <fieldset class="themes">
      <legend class="unseen">Colours</legend>
      {THEMES.map((choice) => (
        <label key={choice}>
          <input
            type="radio"
            name="theme"
            checked={choice === theme}
            onChange={() => choose(choice)}
          />
          <span>{choice}</span>
        </label>
      ))}
    </fieldset>
  );
}

/** Names the tab after the page, and takes the keyboard to its heading when another one is opened. */
function useArrival(route: Route, title: string): void {
  const before = useRef<string>(undefined);
  useEffect(() => {
    const place = `${route.page}/${route.subject ?? ""}`;
    const about = route.subject === undefined ? title : `${route.subject} · ${title}`;
    document.title = `${about} · Tidings console`;
    if (before.current !== undefined && before.current !== place) {
      scrollTo(0, 0);
      document.getElementById("title")?.focus({ preventScroll: true });
    }
    before.current = place;
  }, [route.page, route.subject, title]);
}
