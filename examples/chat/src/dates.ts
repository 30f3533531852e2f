/** Days and times in the reader's own language and time zone. */

const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const DAY_OF_YEAR = new Intl.DateTimeFormat(undefined, { dateStyle: "long" });

export function timeText(at: number): string {
  return TIME.format(at);
}

export function dayText(at: number, now: number): string {
  const day = new Date(at);
  const today = new Date(now);
  const yesterday = new Date(now);
  yesterday.setDate(today.getDate() - 1);
  if (day.toDateString() === today.toDateString()) {
    return "Today";
  }
  if (day.toDateString() === yesterday.toDateString()) {
    return "Yesterday";
  }
  return day.getFullYear() === today.getFullYear() ? DAY.format(at) : DAY_OF_YEAR.format(at);
}
