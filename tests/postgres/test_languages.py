"""Search by words in many languages, and in code: the question shares a telling word with one of ten texts."""

import pytest
from langgraph.store.base import PutOp, SearchOp

from langgraph_learning.postgres import HybridPostgresStore

TEXTS_AND_QUESTIONS = {
    "Chinese": [
        ("用户对花生过敏", "花生过敏怎么办？"),
        ("用户住在北京，喜欢喝绿茶", "谁喜欢绿茶？"),
        ("项目预算为五十万元", "这个项目的预算是多少？"),
        ("会议每周三上午十点举行", "什么时候开会议？"),
        ("我养了一只猫，名叫小白", "我的猫叫什么？"),
        ("服务器部署在上海机房", "上海机房有哪些服务器？"),
        ("合同必须由法务部门审核", "法务需要做什么？"),
        ("发票要在月底之前寄出", "发票什么时候寄？"),
        ("用户的女儿在学钢琴", "钢琴课在哪里？"),
        ("数据库每天晚上备份一次", "怎么备份数据库？"),
    ],
    "Japanese": [
        ("ユーザーはピーナッツアレルギーがある", "アレルギーはありますか？"),
        ("東京に住んでいて緑茶が好き", "緑茶が好きなのは誰？"),
        ("毎週水曜日に会議がある", "会議はいつですか？"),
        ("猫を二匹飼っている", "猫は何匹いますか？"),
        ("請求書は月末までに送る", "請求書はいつ送りますか？"),
        ("データベースのバックアップは毎晩行う", "バックアップの頻度は？"),
        ("契約書は法務部が確認する", "契約書を確認するのは誰？"),
        ("娘がピアノを習っている", "ピアノの先生を探しています"),
        ("サーバーは大阪にある", "大阪のサーバーについて"),
        ("来月ベルリンに出張する", "ベルリン出張の予定は？"),
    ],
    "Korean": [
        ("서울에 살고 녹차를 좋아한다", "녹차를 마시는 사람은?"),
        ("사용자는 땅콩 알레르기가 있다", "땅콩이 들어간 음식은 괜찮나요?"),
        ("회의는 매주 수요일 오전에 열린다", "회의가 언제인가요?"),
        ("고양이 두 마리를 키운다", "고양이는 몇 마리예요?"),
        ("청구서는 월말까지 보내야 한다", "청구서를 언제 보내나요?"),
        ("데이터베이스는 매일 밤 백업한다", "백업은 어떻게 하나요?"),
        ("계약서는 법무팀이 검토한다", "계약서의 검토는 누가 하나요?"),
        ("딸이 피아노를 배운다", "피아노 선생님을 찾고 있어요"),
        ("서버는 부산에 있다", "부산의 서버 상태는?"),
        ("다음 달에 베를린으로 출장을 간다", "베를린에서 뭐 해요?"),
    ],
    "Thai": [
        ("อยู่กรุงเทพและชอบชาเขียว", "ใครชอบชาเขียว"),
        ("ผู้ใช้แพ้ถั่วลิสง", "ถั่วลิสงกินได้ไหม"),
        ("ประชุมทุกวันพุธตอนสิบโมงเช้า", "ประชุมเมื่อไหร่"),
        ("เลี้ยงแมวสองตัว", "แมวชื่ออะไร"),
        ("ใบแจ้งหนี้ต้องส่งก่อนสิ้นเดือน", "ต้องส่งใบแจ้งหนี้เมื่อไร"),
        ("สำรองฐานข้อมูลทุกคืน", "ฐานข้อมูลสำรองอย่างไร"),
        ("สัญญาต้องให้ฝ่ายกฎหมายตรวจ", "ฝ่ายกฎหมายทำอะไร"),
        ("ลูกสาวเรียนเปียโน", "ครูสอนเปียโนอยู่ที่ไหน"),
        ("เซิร์ฟเวอร์อยู่ที่เชียงใหม่", "เชียงใหม่มีอะไรบ้าง"),
        ("เดือนหน้าไปทำงานที่เบอร์ลิน", "ไปเบอร์ลินเมื่อไหร่"),
    ],
    "Arabic": [
        ("يعيش المستخدم في القاهرة ويحب الشاي الأخضر", "من يحب الشاي؟"),
        ("المستخدم لديه حساسية من الفول السوداني", "هل توجد حساسية؟"),
        ("الاجتماع كل يوم أربعاء صباحا", "متى الاجتماعات؟"),
        ("لديه قطة سوداء في البيت", "ما اسم القطة؟"),
        ("يجب إرسال الفاتورة قبل نهاية الشهر", "متى نرسل الفواتير أو الفاتورة؟"),
        ("يتم نسخ قاعدة البيانات كل ليلة", "كيف ننسخ قاعدة البيانات؟"),
        ("العقد يراجعه القسم القانوني", "من يقرأ عقدا كهذا؟"),
        ("ابنته تتعلم البيانو", "أين مدرس بيانو؟"),
        ("الخادم موجود في دبي", "ماذا عندنا بدبي؟"),
        ("سيسافر إلى برلين الشهر القادم", "متى السفر لبرلين؟"),
    ],
    "Hindi": [
        ("उपयोगकर्ता को मूंगफली से एलर्जी है", "क्या मूंगफली ठीक है?"),
        ("वह दिल्ली में रहता है और हरी चाय पसंद करता है", "हरी चाय किसे पसंद है?"),
        ("बैठक हर बुधवार सुबह होती है", "बैठकें कब होती हैं?"),
        ("उसके पास दो बिल्लियाँ हैं", "बिल्ली का नाम क्या है?"),
        ("बिल महीने के अंत तक भेजना है", "बिल कब भेजें?"),
        ("डेटाबेस का बैकअप हर रात होता है", "बैकअप कैसे लेते हैं?"),
        ("अनुबंध की जाँच कानूनी विभाग करता है", "अनुबंध कौन देखता है?"),
        ("बेटी पियानो सीख रही है", "पियानो शिक्षक कहाँ है?"),
        ("सर्वर मुंबई में है", "मुंबई में क्या है?"),
        ("अगले महीने बर्लिन जाना है", "बर्लिन की यात्रा कब है?"),
    ],
    "Russian": [
        ("Пользователь живёт в Москве и любит зелёный чай", "Кто пьёт чай?"),
        ("У него аллергия на арахис", "Что делать с аллергией?"),
        ("Совещание каждую среду утром", "Когда совещания?"),
        ("У неё две кошки", "Как зовут кошку?"),
        ("Счета отправляем до конца месяца", "Когда отправить счёт?"),
        ("Резервные копии базы делаются ночью", "Как сделать резервную копию?"),
        ("Договор проверяет юридический отдел", "Кто смотрит договоры?"),
        ("Дочь учится играть на пианино", "Где учитель пианино?"),
        ("Сервер стоит в Казани", "Что у нас есть в Казань?"),
        ("В следующем месяце поездка в Берлин", "Когда Берлин?"),
    ],
    "German": [
        ("Der Nutzer wohnt in München und trinkt grünen Tee", "Wer trinkt Tee?"),
        ("Er ist gegen Erdnüsse allergisch", "Darf er eine Erdnuss essen?"),
        ("Die Besprechungen sind mittwochs", "Wann ist die Besprechung?"),
        ("Sie hat zwei Katzen", "Wie heißt die Katze?"),
        ("Rechnungen gehen vor Monatsende raus", "Wann geht die Rechnung raus?"),
        ("Die Datenbank wird jede Nacht gesichert", "Wie sichern wir Datenbanken?"),
        ("Verträge prüft die Rechtsabteilung", "Wer liest einen Vertrag?"),
        ("Die Häuser in der Allee wurden verkauft", "Welches Haus ist noch da?"),
        ("Der Server steht in Köln", "Was steht in Koeln oder Köln?"),
        ("Nächsten Monat reist er nach Zürich", "Wann geht es nach ZÜRICH?"),
    ],
    "code": [
        ("getUserById raises when the cache is cold", "why does get_user_by_id fail?"),
        ("the column user_id is indexed", "is user id indexed?"),
        ("ORD-2024-117 was refunded", "what about ord-2024-117"),
        ("parse_config reads settings.toml", "where is settings.toml read"),
        ("HTTPServerError means the proxy is down", "http server error"),
        ("version v2.14.1 breaks the login", "does 2.14.1 or v2.14.1 work?"),
        ("MAX_RETRIES is five", "what is maxRetries"),
        ("kubectl rollout undo restores the pod", "how do I undo a rollout with kubectl"),
        ("the class OrderService lives in order_service.py", "OrderService file"),
        ("set --dry-run before np.linalg.norm", "what is np.linalg.norm for"),
    ],
}


@pytest.fixture(scope="module", params=["english", "simple"])
def by_words(new_database, request):
    settings = {"index": {"fields": ["text"]}, "search_mode": "hybrid", "language": request.param}
    with HybridPostgresStore.from_conn_string(new_database(), **settings) as store:
        store.setup()
        store.batch(
            [
                PutOp((language,), str(n), {"text": text})
                for language, pairs in TEXTS_AND_QUESTIONS.items()
                for n, (text, _) in enumerate(pairs)
            ]
        )
        yield store


@pytest.mark.parametrize("language", TEXTS_AND_QUESTIONS)
def test_the_text_with_the_telling_word_comes_first(by_words, language):
    """It is found by words alone, whatever the language setting."""
    questions = [question for _, question in TEXTS_AND_QUESTIONS[language]]
    found = by_words.batch([SearchOp((language,), query=question, limit=1) for question in questions])

    assert [[item.key for item in items] for items in found] == [[str(n)] for n in range(len(questions))]
