/** What is typed and not sent, kept over reloads and while another place is shown. */

function nameOf(user: string, placeId: string): string {
  return `chat/${user}/draft/${placeId}`;
}

export function draftOf(user: string, placeId: string): string {
  return localStorage.getItem(nameOf(user, placeId)) ?? "";
}

export function keepDraft(user: string, placeId: string, text: string): void {
  try {
    if (text === "") {
      localStorage.removeItem(nameOf(user, placeId));
    } else {
      localStorage.setItem(nameOf(user, placeId), text);
    }
  } catch {
    // The browser's storage is full. The text stays in the field, and nobody is kept from typing.
  }
}
