/** Starts the console in its page. */

import { render } from "preact";
import { App } from "./app.tsx";
import { KeyHolder } from "./state/session.ts";
import { applyTheme, keptTheme } from "./state/theme.ts";
import "./style/console.css";

applyTheme(keptTheme());
const place = document.getElementById("console");
if (place === null) throw new Error("the page has no place for the console");
const keyHolder = new KeyHolder();
// Before any page hears of the address, which would show the key.
addEventListener("hashchange", (event) => {
  if (keyHolder.takeFromAddress()) {
    event.stopImmediatePropagation();
    location.reload();
  }
});
render(<App keyHolder={keyHolder} />, place);
