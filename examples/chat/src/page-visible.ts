/** Whether the page is before anybody's eyes: what is drawn in a hidden tab is not read. */

import { Observed } from "./observed.ts";

export const pageIsVisible = new Observed(document.visibilityState === "visible");

document.addEventListener("visibilitychange", () => {
  pageIsVisible.value = document.visibilityState === "visible";
});
