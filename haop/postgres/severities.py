"""How PostgreSQL writes a severity in its log, in each language that it speaks (its message catalogues, 15 to 18)."""

from collections.abc import Mapping

_WORDS = {
    "DEBUG": "გამართვა 디버그 ОТЛАДКА НАЛАГОДЖЕННЯ 调试 除錯",
    "INFO": "ინფორმაცია 정보 ИНФОРМАЦИЯ ІНФОРМАЦІЯ 信息 資訊",
    "NOTICE": "HINWEIS NOTIFICA 알림 ЗАМЕЧАНИЕ NOTIS ПОВІДОМЛЕННЯ 注意",
    "WARNING": "WARNUNG ATTENTION ATTENZIONE გაფრთხილება 경고 ПРЕДУПРЕЖДЕНИЕ VARNING ПОПЕРЕДЖЕННЯ 警告",
    "ERROR": "FEHLER ERREUR ERRORE შეცდომა 오류 ОШИБКА FEL ПОМИЛКА 错误 錯誤",
    "LOG": "ჟურნალი 로그 СООБЩЕНИЕ LOGG ЗАПИСУВАННЯ 日志 日誌",
    "FATAL": "FATALE ფატალური 치명적오류 ВАЖНО FATALT ФАТАЛЬНО 致命错误 致命錯誤",
    "PANIC": "PANIK PANICO პანიკა 손상 ПАНИКА ПАНІКА 灾难性错误 嚴重錯誤",
    "DETAIL": "DETALLE DÉTAIL DETTAGLI 詳細 დეტალები 상세정보 ПОДРОБНОСТИ DETALJ ВІДОМОСТІ 详情 詳情",
    "HINT": "TIPP ASTUCE SUGGERIMENTO ヒント მინიშნება 힌트 ПОДСКАЗКА TIPS УКАЗІВКА 提示",
    "CONTEXT": "ZUSAMMENHANG CONTEXTO CONTEXTE CONTESTO 文脈 კონტექსტი 내용 КОНТЕКСТ KONTEXT 上下文",
    "STATEMENT": "ANWEISUNG SENTENCIA INSTRUCTION ISTRUZIONE 文 ოპერატორი ОПЕРАТОР SATS ІНСТРУКЦІЯ 语句 陳述式",
    "QUERY": "ANFRAGE CONSULTA REQUÊTE 問い合わせ მოთხოვნა 쿼리 ЗАПРОС FRÅGA ЗАПИТ 查询 查詢",
}  # fmt: skip
# Each word, in any language, to the English one.
ENGLISH: Mapping[str, str] = {
    word: english for english, words in _WORDS.items() for word in (english, *words.split())
} | {f"DEBUG{number}": "DEBUG" for number in range(1, 6)}
