/** The whole page: the form to sign in, or the chat. */

import { useObserved } from "../observed.ts";
import { signIn } from "../session.ts";
import { Chat } from "./chat.tsx";
import { SignInForm } from "./sign-in-form.tsx";

export function App() {
  const phase = useObserved(signIn);
  switch (phase.phase) {
    case "signedOut":
      return <SignInForm suggested={phase.suggested} />;
    case "entering":
      return (
        <main class="sign-in">
          <p>Welcome back, {phase.user}…</p>
        </main>
      );
    case "signedIn":
      return <Chat key={phase.session.user} session={phase.session} />;
  }
}
