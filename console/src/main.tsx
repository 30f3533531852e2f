/** Starts the console in its page. */

import { render } from "preact";
import { App } from "./app.tsx";
import { KeyHolder } from "./state/session.ts";
import { applyTheme, keptTheme } from "./state/theme.ts";
import "./style/console.css";

applyTheme(keptTheme());
const place = document.getElementById("console");
if (place === null) throw new Error("the page has no place for the console");
render(<App keyHolder={new KeyHolder()} />, place);
