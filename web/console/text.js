// Every word of the page, Korean and English, and the numbers beside them.

const WORDS = {
  en: {
    title: "Live console",
    live: "live",
    sessions: "Playing now",
    none_title: "No child is playing right now",
    none_text: "This page shows a session the moment one begins.",
    connecting: "Connecting…",
    lost: "Connection lost. Trying again…",
    on: "Connected",
    off: "Not connected",
    refused_title: "You are not signed in any more",
    sign_in_title: "Sign in to the console",
    email: "E-mail",
    password: "Password",
    sign_in: "Sign in",
    signing_in: "One moment…",
    sign_out: "Sign out",
    no_answer: "The server does not answer. Try again in a moment.",
    reason_title: "Why do you look?",
    reason_text: "The family reads what you write here, with your name and the time.",
    reason_label: "Reason",
    reason_go: "Go on",
    token_title: "I have a watch token",
    token_text: "A token of your account, from a terminal:",
    token_label: "Watch token",
    token_go: "Open",
    set: "Set",
    left: "Left hand",
    right: "Right hand",
    reps: "Repetitions",
    of: "of",
    full: "full",
    partial: "partial",
    rejected: "rejected",
    interrupted: "interrupted",
    pending: "peak",
    no_reps: "The first one is about to come.",
    grade: "Grade so far",
    no_grade: "After the first finished set",
    last: "Last",
    seconds: "s",
    tracking: "Tracking",
    good: "good",
    fair: "fair",
    poor: "poor",
    feed: "Feed",
    latency: "latency",
    fps: "frames/s",
    missed: "missed",
    signal: "Movement",
    target: "target",
    rest: "rest",
    waiting: "Waiting for the first set",
    resting: "Resting",
    between: (n) => `Set ${n} finished`,
    between_text: "The next set follows.",
    paused: "Paused",
    no_hand: "No hand in view",
    ended: "Session finished",
    ended_text: "The next child follows in a moment.",
    stars: "stars",
    picture: (name, motion) => `The tracked hand of ${name}, ${motion}`,
    plot: "Primary signal of the last ten seconds, with repetitions marked",
    progress: (n, asked) => `${n} of ${asked} repetitions`,
  },
  ko: {
    title: "실시간 콘솔",
    live: "진행 중",
    sessions: "지금 놀이 중",
    none_title: "지금은 놀이 중인 아이가 없어요",
    none_text: "놀이가 시작되면 바로 여기에 나타납니다.",
    connecting: "연결하는 중…",
    lost: "연결이 끊겼습니다. 다시 연결하는 중…",
    on: "연결됨",
    off: "연결 안 됨",
    refused_title: "로그인이 끝났습니다",
    sign_in_title: "콘솔에 로그인하세요",
    email: "이메일",
    password: "비밀번호",
    sign_in: "로그인",
    signing_in: "잠시만요…",
    sign_out: "로그아웃",
    no_answer: "서버가 응답하지 않습니다. 잠시 뒤 다시 시도해 주세요.",
    reason_title: "무엇 때문에 보시나요?",
    reason_text: "여기에 적은 내용은 이름, 시간과 함께 가족에게 보입니다.",
    reason_label: "사유",
    reason_go: "계속",
    token_title: "참관 토큰이 있어요",
    token_text: "내 계정의 토큰은 터미널에서 받을 수 있습니다:",
    token_label: "참관 토큰",
    token_go: "열기",
    set: "세트",
    left: "왼손",
    right: "오른손",
    reps: "반복",
    of: "/",
    full: "완전",
    partial: "부분",
    rejected: "제외",
    interrupted: "중단",
    pending: "정점",
    no_reps: "곧 첫 반복이 나타납니다.",
    grade: "지금까지의 점수",
    no_grade: "첫 세트가 끝나면 나옵니다",
    last: "최근",
    seconds: "초",
    tracking: "추적 품질",
    good: "좋음",
    fair: "보통",
    poor: "나쁨",
    feed: "전송",
    latency: "지연",
    fps: "프레임/초",
    missed: "누락",
    signal: "움직임",
    target: "목표",
    rest: "휴식",
    waiting: "첫 세트를 기다리는 중",
    resting: "쉬는 중",
    between: (n) => `${n}세트를 마쳤어요`,
    between_text: "곧 다음 세트를 시작합니다.",
    paused: "잠시 멈춤",
    no_hand: "손이 보이지 않습니다",
    ended: "놀이가 끝났어요",
    ended_text: "잠시 뒤 다음 아이로 넘어갑니다.",
    stars: "별",
    picture: (name, motion) => `${name}의 손 움직임, ${motion}`,
    plot: "최근 10초 동안의 주 신호와 반복 표시",
    progress: (n, asked) => `${asked}회 중 ${n}회`,
  },
};

const MOTIONS = {
  fist: ["Fist open and close", "주먹 쥐었다 펴기"],
  spread: ["Finger spread", "손가락 벌렸다 모으기"],
  tap: ["Index–thumb tapping", "엄지·검지 톡톡"],
  oppose: ["Thumb opposition", "엄지로 손가락 차례로 만나기"],
  pinch: ["Pinch and hold", "집게 손 유지"],
  turn: ["Palm up and down", "손바닥 뒤집기"],
  wave: ["Wave", "손 흔들기"],
  hook: ["Hook fist", "갈고리 손"],
  table: ["Table top", "지붕 손"],
  count: ["Fingers one by one", "손가락 하나씩 펴기"],
  thumbup: ["Thumb up", "엄지 척 유지"],
  scissors: ["V sign", "가위 손 유지"],
};

const KEY = "gemgem.language";
const kept = localStorage.getItem(KEY);
let language = kept in WORDS ? kept : navigator.language.startsWith("ko") ? "ko" : "en";
document.documentElement.lang = language;

export const currentLanguage = () => language;

export function setLanguage(next) {
  language = next;
  localStorage.setItem(KEY, next);
  document.documentElement.lang = next;
}

/** The words of the page in the reader's language. */
export const words = () => WORDS[language];

export function motionName(id) {
  return MOTIONS[id]?.[language === "ko" ? 1 : 0] ?? id ?? "";
}

/** A quality of 0-1 in a word. */
export function qualityWord(quality) {
  if (quality >= 0.8) return "good";
  return quality >= 0.6 ? "fair" : "poor";
}

export function number(value, digits = 0) {
  return value.toLocaleString(language, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
