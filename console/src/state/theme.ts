/** Light or dark: as the system says, unless somebody chose. */

/** What can be chosen. */
export type Theme = "system" | "light" | "dark";

/** Every choice, in the order of the switch. */
export const THEMES: readonly Theme[] = ["system", "light", "dark"];

const THEME_ENTRY = "tidings-theme";

/** What was chosen in this browser before. */
export function keptTheme(): Theme {
  const kept = localStorage.getItem(THEME_ENTRY);
  return THEMES.find((theme) => theme === kept) ?? "system";
}

/** Shows the console so, and keeps the choice. */
export function applyTheme(theme: Theme): void {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  localStorage.setItem(THEME_ENTRY, theme);
}
